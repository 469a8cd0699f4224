"""A Debian 12 of a test's own: made by debootstrap, then booted, with its own systemd, processes, network and control groups. Needs root."""
from __future__ import annotations

import pathlib
import shutil
import subprocess
import time

PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
# As a container's manager would: what systemd wants to find, and the root made the root.
BOOT = r"""
cd "$0"
mount --bind . .; cd "$0"
mount -t proc proc proc; mount -t sysfs -o ro sysfs sys; mount -t tmpfs run run; mount -t tmpfs dev dev
for d in null zero random urandom full tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/shm dev/pts; mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts; ln -s pts/ptmx dev/ptmx
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup sys/fs/cgroup
else
  mount -t tmpfs cgroup sys/fs/cgroup; mkdir sys/fs/cgroup/systemd sys/fs/cgroup/memory sys/fs/cgroup/pids
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  for c in memory pids; do mount -t cgroup -o $c cgroup sys/fs/cgroup/$c; done
fi
mkdir -p mnt; pivot_root . mnt; umount -l /mnt; mount --make-rshared /
exec /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd systemd.unit=multi-user.target
"""


class CleanRoot:
    def __init__(self, folder: pathlib.Path):
        self.folder, self.process = folder, None
        made = subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd,dbus,iproute2", "bookworm", folder], capture_output=True, text=True, timeout=900)
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
        # Nothing is started while nothing runs in it.
        self.policy = folder / "usr" / "sbin" / "policy-rc.d"
        self.policy.write_text("#!/bin/sh\nexit 101\n")
        self.policy.chmod(0o755)

    def put(self, file: pathlib.Path) -> str:
        shutil.copy(file, self.folder / "srv")
        return f"/srv/{file.name}"

    def chroot(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Before it is booted: with the machine's network."""
        return self._done(["unshare", "-m", "bash", "-ec", 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"', str(self.folder), *command], check)

    def boot(self) -> None:
        self.policy.unlink()
        outer = subprocess.Popen(["unshare", "-m", "-p", "-f", "-C", "-n", "--mount-proc", "--kill-child", "bash", "-ec", BOOT, str(self.folder)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process = outer
        children = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        end = time.monotonic() + 60
        while True:
            assert outer.poll() is None and time.monotonic() < end, "it does not boot"
            if (listed := children.read_text().split()) and pathlib.Path(f"/proc/{listed[0]}/comm").read_text() == "systemd\n":
                self.init = listed[0]
                if self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip() in ("running", "degraded"):
                    break
            time.sleep(0.2)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """While it is booted."""
        return self._done(["nsenter", "-t", self.init, "-m", "-p", "-C", "-n", "-r", "-w", *command], check)

    def shell(self, script: str, check: bool = True) -> str:
        return self.run("bash", "-ec", script, check=check).stdout.strip()

    def stop(self) -> None:
        if self.process:
            self.process.kill()                            # and with it all that runs in there
            self.process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _done(command: list[str], check: bool) -> subprocess.CompletedProcess:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=PATH)
        assert not check or done.returncode == 0, f"{command[-3:]} → {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done
