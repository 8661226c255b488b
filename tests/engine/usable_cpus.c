/* The CPUs that a process may use, from its affinity and from made-up control groups. */
#include "engine/exec/usable_cpus.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static size_t affinity;
static char root[200];

/* Every file of the fixture, so that each case starts from none and the folder goes away. */
static char made[64][300];
static size_t made_count;

static void write_file(const char *path, const char *text) {
  char full[300];
  assert_true(snprintf(full, sizeof full, "%s%s", root, path) < (int)sizeof full);
  for (char *slash = strchr(full + strlen(root) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(full, 0700) == 0)
      strcpy(made[made_count++], full);
    *slash = '/';
    assert_true(made_count < 60);
  }
  FILE *file = fopen(full, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
  strcpy(made[made_count++], full);
}

static void clear(void) {
  while (made_count != 0)
    assert_int_equal(remove(made[--made_count]), 0);
}

static size_t at_most(size_t cpus) {
  return cpus < affinity ? cpus : affinity;
}

/* One quota in one file; the answer is the same on any machine where at most 1 CPU is asked for. */
static void test_version_2(void **state) {
  (void)state;
  static const struct {
    const char *groups, *path, *text;
    size_t cpus; /* SIZE_MAX: no limit */
  } cases[] = {
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "50000 100000\n", 1},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "100000 100000\n", 1},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "100001 100000\n", 2},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "250000 100000\n", 3},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "max 100000\n", SIZE_MAX},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "1\n", SIZE_MAX},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "1000 0\n", SIZE_MAX},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "-5 1000\n", SIZE_MAX},
      {"0::/\n", "/sys/fs/cgroup/cpu.max", "9223372036854775807 1\n", SIZE_MAX},
      {"0::/a/b\n", "/sys/fs/cgroup/a/b/cpu.max", "100 100\n", 1},
      {"0::/a/b\n", "/sys/fs/cgroup/a/cpu.max", "100 100\n", 1}, /* of the group above */
      {"0::/a/b\n", "/sys/fs/cgroup/cpu.max", "100 100\n", 1},   /* the host's path, as a container may see it */
      {"0::/a/b\n", "/sys/fs/cgroup/a/c/cpu.max", "100 100\n", SIZE_MAX},
      {"0::/a/b\n", "/sys/cpu.max", "100 100\n", SIZE_MAX},      /* above the mount */
      {"4:memory:/m\n3:cpu,cpuacct:/v1\n0::/a\n", "/sys/fs/cgroup/a/cpu.max", "100 100\n", 1},
      {"0:\n", "/sys/fs/cgroup/cpu.max", "100 100\n", SIZE_MAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_file("/proc/self/cgroup", cases[i].groups);
    write_file(cases[i].path, cases[i].text);
    size_t cpus = pith_usable_cpus(root);
    if (cpus != at_most(cases[i].cpus))
      fail_msg("case %zu: %zu CPUs, not %zu", i, cpus, at_most(cases[i].cpus));
    clear();
  }
}

static void test_version_1(void **state) {
  (void)state;
  static const struct {
    const char *groups, *folder, *quota;
    size_t cpus;
  } cases[] = {
      {"3:cpu,cpuacct:/g\n", "/sys/fs/cgroup/cpu,cpuacct/g", "100000\n", 1},
      {"3:cpuacct,cpu:/g\n", "/sys/fs/cgroup/cpuacct,cpu", "100000\n", 1},
      {"3:cpu,cpuacct:/g\n", "/sys/fs/cgroup/cpu/g", "20000\n", 1},
      {"3:cpu:/g\n", "/sys/fs/cgroup/cpu", "150000\n", 2},
      {"3:cpu:/g\n", "/sys/fs/cgroup/cpu/g", "-1\n", SIZE_MAX},
      {"3:cpuset:/g\n", "/sys/fs/cgroup/cpuset/g", "100000\n", SIZE_MAX}, /* another controller */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[200];
    write_file("/proc/self/cgroup", cases[i].groups);
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", cases[i].folder);
    write_file(path, cases[i].quota);
    assert_int_equal(pith_usable_cpus(root), affinity); /* no period */
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", cases[i].folder);
    write_file(path, "100000\n");
    size_t cpus = pith_usable_cpus(root);
    if (cpus != at_most(cases[i].cpus))
      fail_msg("case %zu: %zu CPUs, not %zu", i, cpus, at_most(cases[i].cpus));
    clear();
  }
}

static void test_the_least_counts(void **state) {
  (void)state;
  write_file("/proc/self/cgroup", "0::/a/b\n");
  write_file("/sys/fs/cgroup/cpu.max", "max 100000\n");
  write_file("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  write_file("/sys/fs/cgroup/a/b/cpu.max", "900000 100000\n");
  assert_int_equal(pith_usable_cpus(root), 1);
  clear();
}

static void test_without_groups(void **state) {
  (void)state;
  assert_int_equal(pith_usable_cpus(root), affinity);
  char long_root[5000];
  memset(long_root, 'a', sizeof long_root - 1);
  long_root[sizeof long_root - 1] = '\0';
  assert_int_equal(pith_usable_cpus(long_root), affinity);
  size_t own = pith_usable_cpus("");
  assert_true(own >= 1 && own <= affinity);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version_2),
      cmocka_unit_test(test_version_1),
      cmocka_unit_test(test_the_least_counts),
      cmocka_unit_test(test_without_groups),
  };
  cpu_set_t set;
  const char *folder = getenv("TMPDIR");
  snprintf(root, sizeof root, "%s/pith-cpus-XXXXXX", folder == NULL ? "/tmp" : folder);
  if (sched_getaffinity(0, sizeof set, &set) != 0 || mkdtemp(root) == NULL)
    return 1;
  affinity = (size_t)CPU_COUNT(&set);
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  while (made_count != 0)
    remove(made[--made_count]);
  rmdir(root);
  return failed;
}
