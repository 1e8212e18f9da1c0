#!/bin/sh
# Turns a minimal Debian root into a stand-in for the official python:VERSION-slim image; runs inside that root.
#
#   stand-in.sh VERSION SUITE DEBIAN [SECURITY]     the last two: addresses of the archives for apt's sources
#
# Python is Debian's, but where the official image has its own: below /usr/local, unknown to dpkg, without bytecode, and with
# packages in site-packages.
set -eux
version=$1 suite=$2 debian=$3 security=${4:-}

mkdir /tmp/python
cd /tmp/python
apt-get -q download "python$version" "python$version-minimal" "python$version-venv" \
  "libpython$version-minimal" "libpython$version-stdlib" "libpython$version-dev" python3-pip-whl python3-setuptools-whl
for package in *.deb; do
  dpkg-deb -x "$package" root
  dpkg-deb -f "$package" Depends | tr , '\n' >>depends
done
apt-get -q -y --no-install-recommends satisfy "$(grep -vE '^$|python|-dev|media-types' depends | sort -u | paste -sd,)"
# As in the official image, bin has next to nothing of the interpreter, which is a library there.
cp "root/usr/bin/python$version" "/usr/local/lib/interpreter$version"
ln -s "../lib/interpreter$version" "/usr/local/bin/python$version"
cp -r root/usr/include /usr/local/
cp -r "root/usr/lib/python$version" /usr/local/lib/
cp -r root/usr/share/python-wheels /usr/share/

cd "/usr/local/lib/python$version"
find . -name __pycache__ -prune -exec rm -rf {} +
rm -rf EXTERNALLY-MANAGED config-*/libpython* test
# Debian's dist-packages is built into the interpreter, hence the link.
find sysconfig* -name '*.py' -exec sed -i "s/prefix_scheme = 'posix_local'/prefix_scheme = 'posix_prefix'/" {} +
mkdir site-packages
ln -s site-packages dist-packages

cd /usr/local/bin
ln -s "python$version" python3
ln -s python3 python
export PYTHONDONTWRITEBYTECODE=1
wheel=$(echo /usr/share/python-wheels/pip-*.whl)
python "$wheel/pip" install -q --root-user-action ignore --no-index --no-compile "$wheel"
pip --version
test -d "/usr/local/lib/python$version/site-packages/pip"

update-ca-certificates

rm -rf /etc/apt/sources.list /tmp/python /var/cache/apt/*
stanza() {
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n' "$1" "$2"
}
{
  stanza "$debian" "$suite $suite-updates"
  [ -z "$security" ] || stanza "$security" "$suite-security"
} >/etc/apt/sources.list.d/debian.sources
# apt keeps neither packages nor binary caches
cat >/etc/apt/apt.conf.d/docker-clean <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CONF
