#include "engine/exec/usable_cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUPS_BYTES = 16384 }; /* a line per hierarchy, each a path */

/* The file's first bytes as text; false where there is none. */
static bool read_text(const char *path, char *out_text, size_t capacity) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return false;
  size_t bytes = 0;
  ssize_t got;
  while (bytes + 1 < capacity && (got = read(file, out_text + bytes, capacity - 1 - bytes)) > 0)
    bytes += (size_t)got;
  close(file);
  out_text[bytes] = '\0';
  return bytes != 0;
}

/* <folder>/<name> as text. */
static bool read_setting(const char *folder, const char *name, char *out_text, size_t capacity) {
  char path[PATH_MAX];
  int bytes = snprintf(path, sizeof path, "%s/%s", folder, name);
  return bytes > 0 && (size_t)bytes < sizeof path && read_text(path, out_text, capacity);
}

/* ceil(quota / period), where both are numbers above 0. */
static void limit(const char *quota_text, const char *period_text, size_t *cpus) {
  char *end;
  long long quota = strtoll(quota_text, &end, 10);
  if (end == quota_text)
    return; /* "max" */
  long long period = strtoll(period_text, &end, 10);
  if (end == period_text || quota <= 0 || period <= 0)
    return;
  unsigned long long count = (unsigned long long)(quota / period) + (quota % period != 0);
  if (count < *cpus)
    *cpus = (size_t)count;
}

static void limit_by_folder(const char *folder, bool version_2, size_t *cpus) {
  char quota[64], period[64];
  if (version_2) {
    const char *space = read_setting(folder, "cpu.max", quota, sizeof quota) ? strchr(quota, ' ') : NULL;
    if (space != NULL)
      limit(quota, space, cpus);
  } else if (read_setting(folder, "cpu.cfs_quota_us", quota, sizeof quota) &&
             read_setting(folder, "cpu.cfs_period_us", period, sizeof period)) {
    limit(quota, period, cpus);
  }
}

/* The folder of `group` below `mount`, and all above it up to `mount`. */
static void limit_by_group(const char *mount, const char *group, bool version_2, size_t *cpus) {
  char folder[PATH_MAX];
  size_t mount_bytes = strlen(mount);
  int bytes = snprintf(folder, sizeof folder, "%s%s", mount, group);
  if (bytes < 0 || (size_t)bytes >= sizeof folder)
    return;
  for (;;) {
    limit_by_folder(folder, version_2, cpus);
    char *slash = strrchr(folder + mount_bytes, '/');
    if (slash == NULL)
      return;
    *slash = '\0';
  }
}

/* Whether `word` stands in a list that commas divide. */
static bool lists(const char *list, const char *word) {
  for (size_t bytes = strlen(word); list != NULL; list = strchr(list, ',') == NULL ? NULL : strchr(list, ',') + 1)
    if (strncmp(list, word, bytes) == 0 && (list[bytes] == ',' || list[bytes] == '\0'))
      return true;
  return false;
}

static void limit_by_groups(const char *root, char *groups, size_t *cpus) {
  char mount[PATH_MAX], *rest = NULL;
  /* "number:controllers:path"; version 2 has number 0 and no controllers. */
  for (char *line = strtok_r(groups, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    char *controllers = strchr(line, ':'), *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL)
      continue;
    *path++ = '\0';
    controllers++;
    const char *names[2] = {"", NULL}; /* mounted as the list says, or under the one name */
    bool version_2 = *controllers == '\0';
    if (!version_2) {
      if (!lists(controllers, "cpu"))
        continue;
      names[0] = controllers;
      names[1] = strcmp(controllers, "cpu") == 0 ? NULL : "cpu";
    }
    for (int i = 0; i < 2 && names[i] != NULL; i++) {
      int bytes = snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s%s", root, version_2 ? "" : "/", names[i]);
      if (bytes > 0 && (size_t)bytes < sizeof mount)
        limit_by_group(mount, path, version_2, cpus);
    }
  }
}

size_t pith_usable_cpus(const char *root) {
  cpu_set_t set;
  size_t cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
  char path[PATH_MAX], groups[GROUPS_BYTES];
  int bytes = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
  if (bytes > 0 && (size_t)bytes < sizeof path && read_text(path, groups, sizeof groups))
    limit_by_groups(root, groups, &cpus);
  return cpus == 0 ? 1 : cpus;
}
