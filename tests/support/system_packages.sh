#!/bin/sh
# system_packages.sh python|tests|bench: see that Debian packages are there, and install what is missing.
#
# Root installs them by apt; anybody else is told what to ask for. Servers that come with them are
# never started: the tests start their own, with their own files, on loopback.
set -eu

case "${1:-}" in
python)
    wanted="python3 python3-venv" ;;
tests)
    # libatomic1 is for the driver inside the playwright wheel; the font is for screenshots
    wanted="adcli apache2 chromium curl faketime firefox-esr fonts-dejavu-core gcc iproute2 krb5-admin-server krb5-kdc
            krb5-user libapache2-mod-auth-mellon libatomic1 libkrb5-dev libldap2-dev libnss3-tools libsasl2-dev
            libsasl2-modules-gssapi-mit libtss2-dev libtss2-tcti-swtpm0 libtpm2-pkcs11-1 libtpm2-pkcs11-tools nginx-light
            openssl php-cli php-curl php-intl php-mbstring php-xml pkg-config postgresql python3-dev samba
            samba-ad-provision samba-dsdb-modules samba-vfs-modules simplesamlphp softhsm2 squid libstrongswan-standard-plugins
            strongswan-pki swtpm swtpm-tools systemd tinyproxy tpm2-tools util-linux" ;;
bench) # peers and load generators
    wanted="apache2 caddy golang-cfssl haproxy krb5-admin-server krb5-kdc krb5-user libapache2-mod-auth-gssapi
            libapache2-mod-auth-mellon nghttp2-client nginx-light openssl postgresql
            util-linux wrk" ;;
*)
    echo "usage: $0 python|tests|bench" >&2
    exit 2 ;;
esac

installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=
for package in $wanted; do
    installed "$package" || missing="$missing $package"
done
if [ "$1" = tests ]; then # some nodejs packages bring npm along
    command -v node >/dev/null || missing="$missing nodejs"
    command -v npm >/dev/null || missing="$missing npm"
elif [ "$1" = python ]; then # a Python that was not installed by apt will do
    case "$missing" in ?*) python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && missing= ;; esac
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Needed, and this system has no apt-get to install them with:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Debian packages are missing. As root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

# While this file is there and exits 101, maintainer scripts start no server (invoke-rc.d).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# PostgreSQL's package would make a cluster in /var/lib: the tests make their own.
case "$missing" in *\ postgresql*)
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/no-cluster.conf ;;
esac

export DEBIAN_FRONTEND=noninteractive
echo "Installing Debian packages:$missing"
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null
