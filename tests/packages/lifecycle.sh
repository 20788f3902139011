#!/bin/sh
# The life of the package in a booted Debian system: installed, used, upgraded under load, removed, installed again, purged. Runs as a service
# of that system (tests/packages/debian.rs); /packages has the two versions. Writes /result/log, and /result/status at its end.
set -eu

step() { echo "== $*"; }
fail() {
    echo "FAILED: $*"
    systemctl --no-pager status ringway.service || true
    journalctl --no-pager -u ringway.service | tail -n 30 || true
    exit 1
}

# Calls a command until it succeeds, for a minute at most.
await() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.2
    done
    fail "still not after a minute: $*"
}
is_answered() { [ "$(curl -s -m 5 -H "Host: $1" "http://127.0.0.1$2")" = OK ]; }
main_pid() { systemctl show --property=MainPID --value ringway.service; }
has_changed_from() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ]; }
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/cache -o -path /packages \
        -o -path /result -o -path /var/lib/systemd -o -path /var/lib/dpkg/info -o -path /var/tmp \) -prune -o -print | grep -v -e '-old$' -e '^/etc/[a-z]*-$' | sort
}

files >/tmp/before
getent passwd | sort >/tmp/users-before

step "installed: the service runs as its user, and answers"
dpkg -i /packages/one/ringway_*.deb
await is_answered localhost :8080/ping
systemctl is-enabled --quiet ringway.service || fail "the unit is not enabled"
user=$(stat -c %U "/proc/$(main_pid)")
[ "$user" = ringway ] || fail "the service runs as $user"
[ "$(stat -c '%U %a' /var/lib/ringway)" = 'ringway 750' ] || fail "/var/lib/ringway is $(stat -c '%U %a' /var/lib/ringway)"
complaints=$(systemd-analyze verify ringway.service ringway.socket ringway-https.socket 2>&1 | grep -i ringway || true)
[ -z "$complaints" ] || fail "systemd-analyze: $complaints"
ringway check --configFile=/etc/ringway/ringway.toml || fail "the default configuration has problems"

step "routes of a file are served on port 80"
cat >/etc/ringway/routes/test.toml <<END
[frontends.test]
backend = "test"
[frontends.test.routes.main]
rule = "Host:site.test"
[backends.test.servers.main]
url = "http://127.0.0.1:8080"
END
await is_answered site.test :80/ping
echo '# edited by the administrator' >>/etc/ringway/ringway.toml

step "upgraded under load: another process serves, and no request is lost"
before=$(main_pid)
(
    count=0 lost=0
    while [ ! -e /tmp/stop ]; do
        count=$((count + 1))
        is_answered site.test :80/ping || lost=$((lost + 1))
    done
    echo "$count $lost" >/tmp/load
) &
load=$!
dpkg -i /packages/two/ringway_*.deb
await has_changed_from "$before"
await is_answered site.test :80/ping
sleep 1
touch /tmp/stop
wait "$load"
read -r count lost </tmp/load
echo "$count requests, $lost lost"
[ "$count" -gt 20 ] || fail "only $count requests"
[ "$lost" -eq 0 ] || fail "$lost of $count requests were lost"
systemctl is-active --quiet ringway.service || fail "the service is not active after the upgrade"
grep -q 'edited by the administrator' /etc/ringway/ringway.toml || fail "the upgrade has replaced the configuration"

step "a unit that was disabled stays disabled"
systemctl --quiet disable --now ringway.service
dpkg -i /packages/one/ringway_*.deb
if systemctl is-enabled --quiet ringway.service; then fail "the upgrade has enabled the unit"; fi
if systemctl is-active --quiet ringway.service; then fail "the upgrade has started the unit"; fi
systemctl --quiet enable --now ringway.service
await is_answered site.test :80/ping

step "sockets of systemd: the ports stay open while the service is stopped"
systemctl stop ringway.service
systemctl start ringway.socket
[ -z "$(main_pid | grep -v '^0$')" ] || fail "the service was started by the socket's start"
await is_answered site.test :80/ping
systemctl is-active --quiet ringway.service || fail "the first connection has not started the service"
systemctl stop ringway.socket ringway.service
systemctl start ringway.service

step "removed: nothing runs, configuration and certificates stay"
echo '{}' >/var/lib/ringway/acme.json
dpkg -r ringway
if curl -s -m 5 http://127.0.0.1/ >/dev/null; then fail "port 80 is still open"; fi
[ ! -e /usr/bin/ringway ] || fail "the program is still there"
[ -e /var/lib/ringway/acme.json ] || fail "acme.json is gone"
[ -e /etc/ringway/ringway.toml ] || fail "the configuration is gone"

step "installed again: with the old configuration"
dpkg -i /packages/two/ringway_*.deb
await is_answered site.test :80/ping

step "purged: nothing is left"
dpkg -P ringway
files >/tmp/after
getent passwd | sort >/tmp/users-after
diff /tmp/before /tmp/after || fail "these files were left or lost"
diff /tmp/users-before /tmp/users-after || fail "the users differ"
step "done"
