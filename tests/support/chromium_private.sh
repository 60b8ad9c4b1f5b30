#!/bin/sh
# Chromium with managed policies of its own: POLICY_ROOT is seen as /etc/chromium by this process only.
# Playwright starts it as its executable_path. HOME decides on the NSS database.
set -eu
if [ -n "${POLICY_ROOT:-}" ]; then
    # shellcheck disable=SC2016  # expanded in the namespace
    exec unshare --user --map-root-user --mount sh -c \
        'mount --bind "$POLICY_ROOT" /etc/chromium && exec /usr/bin/chromium "$@"' chromium "$@"
fi
exec /usr/bin/chromium "$@"
