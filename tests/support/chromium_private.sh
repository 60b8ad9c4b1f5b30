#!/bin/sh
# Chromium with managed policies of its own: POLICY_ROOT is seen as /etc/chromium by this process only.
# Playwright starts it as its executable_path. HOME decides on the NSS database, UNSHARE_OPTIONS on how
# the private view is had (root needs no user namespace, and a chroot allows none).
set -eu
if [ -n "${POLICY_ROOT:-}" ]; then
    # shellcheck disable=SC2016,SC2086  # expanded in the namespace; a list of words
    exec unshare $UNSHARE_OPTIONS sh -c \
        'mount --bind "$POLICY_ROOT" /etc/chromium && exec /usr/bin/chromium "$@"' chromium "$@"
fi
exec /usr/bin/chromium "$@"
