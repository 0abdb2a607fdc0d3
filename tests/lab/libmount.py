# SPDX-License-Identifier: Apache-2.0
# What of util-linux's Python module crun's tests use (Debian has none): options of a mount in
# a file like /proc/self/mountinfo.


class Mount:
    def __init__(self, line):
        fields, more = line.split(" - ")
        self.target, self.vfs_options = fields.split()[4:6]
        self.fs_options = more.split()[2]


class Table:
    def __init__(self, path):
        with open(path) as file:
            self._mounts = [Mount(line) for line in file if " - " in line]

    def find_target(self, target):
        return [mount for mount in self._mounts if mount.target == target][-1]
