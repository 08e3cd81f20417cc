#!/bin/bash
# Boots a systemd in namespaces of its own, over the files of this machine. Nothing that it writes remains.
# Run as: unshare (mount, PID and cgroup namespaces) bash boot.sh DIR. DIR/files is /opt/test in the booted system.
set -eu
dir=$1
mount --make-rprivate /
mkdir "$dir/machine"
mount -t tmpfs tmpfs "$dir/machine"
cd "$dir/machine"
mkdir -p upper/opt work root
cp -a "$dir/files" upper/opt/test
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
# Present in containers, where it keeps packages from starting services.
rm -f root/usr/sbin/policy-rc.d
if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec systemd-nspawn --directory=root --boot --register=no --keep-unit --private-network --link-journal=no --quiet \
    --console=pipe --machine=gateway-test -- --unit=basic.target
