"""Tries what the unit's sandbox refuses, and prints the error of each attempt."""
import ctypes
import errno
import mmap
import os
import socket
import time

libc = ctypes.CDLL(None, use_errno=True)


def report(directive, attempt):
    try:
        result = attempt()
    except OSError as error:
        print("probe", directive, errno.errorcode[error.errno])
        return
    if result == -1:
        print("probe", directive, errno.errorcode[ctypes.get_errno()])
    else:
        print("probe", directive, "allowed")


def set_group_id():
    path = "/run/aisopod-gateway/probe"
    open(path, "w").close()
    try:
        os.chmod(path, 0o2755)
    finally:
        os.unlink(path)


PER_LINUX32 = 8
CLONE_NEWUSER = 0x10000000
SYSLOG_ACTION_READ_ALL = 3

report("LockPersonality", lambda: libc.personality(PER_LINUX32))
report("MemoryDenyWriteExecute", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
report("ProtectClock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
report("ProtectKernelLogs", lambda: libc.klogctl(SYSLOG_ACTION_READ_ALL, ctypes.create_string_buffer(16), 16))
report("RestrictAddressFamilies", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
report("RestrictNamespaces", lambda: libc.unshare(CLONE_NEWUSER))
report("RestrictRealtime", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
report("RestrictSUIDSGID", set_group_id)
report("SystemCallErrorNumber", lambda: os.chroot("/"))
