/* How many CPUs this process may keep busy: what its affinity allows, and no more than the CPU time that its control groups
 * grant. Threads beyond a quota are stopped in the middle of a run by the kernel, and all others wait for them. */
#ifndef PITH_EXEC_USABLE_CPUS_H
#define PITH_EXEC_USABLE_CPUS_H

#include <stddef.h>

/* At least 1. `root` comes before every path that is read ("" for the system's own, a folder in tests):
 *
 *   <root>/proc/self/cgroup                               the groups of this process
 *   <root>/sys/fs/cgroup<group>/cpu.max                   version 2: "quota period" in microseconds, or "max period"
 *   <root>/sys/fs/cgroup/cpu[,cpuacct]<group>/cpu.cfs_quota_us, cpu.cfs_period_us     version 1, quota -1: none
 *
 * of the group and of every group above it; a quota counts as CPUs, rounded up. What cannot be read sets no limit. A group's
 * path is of the host where the container has no cgroup namespace; then only the mount's own root is there. Thread-safe;
 * allocates nothing. */
size_t pith_usable_cpus(const char *root);

#endif
