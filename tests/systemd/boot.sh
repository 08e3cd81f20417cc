#!/bin/bash
# Boots systemd as the first process of new namespaces, with the installed unit and the probe.
# The systemd test runs it as: unshare (all namespaces but user and time) bash boot.sh DIR. DIR contains probe.sh, the token
# and what make install has written for the prefix /run/test. It writes probe.log and gateway.log there; nothing else remains.
set -eu
dir=$1
mount --make-rprivate /
# As on a real machine: a mount that systemd makes for credentials must reach the service's own mount namespace.
mount --make-rshared /
mount -t tmpfs tmpfs /run
if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# The unit hides /tmp and home directories from the daemon, so its files are in /run.
mkdir -p /run/systemd/system/aisopod-gateway.service.d
cp -a "$dir/run/test" /run/test
cp /run/test/lib/systemd/system/aisopod-gateway.service /run/systemd/system/
cat > /run/systemd/system/aisopod-gateway.service.d/test.conf <<UNIT
[Unit]
DefaultDependencies=no
[Service]
StandardError=file:$dir/gateway.log
LoadCredential=alice:$dir/token
UNIT
cat > /run/systemd/system/probe.service <<UNIT
[Unit]
DefaultDependencies=no
After=aisopod-gateway.service
[Service]
Type=oneshot
StandardOutput=file:$dir/probe.log
StandardError=file:$dir/probe.log
ExecStart=/bin/bash $dir/probe.sh
UNIT
printf '[Unit]\nWants=probe.service aisopod-gateway.service\n' > /run/systemd/system/test.target
export container=test
exec /lib/systemd/systemd --system --unit=test.target --log-level=info --log-target=console --show-status=no
