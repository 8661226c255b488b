/* Runs a program under a filter that kills it on mmap, mprotect or pkey_mprotect with PROT_EXEC, from the moment its own
 * main is entered: what an appliance that forbids code made at run time does. The filter is installed by a constructor of a
 * preloaded library, after the dynamic loader has mapped the program's libraries. */
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

__attribute__((constructor)) static void forbid_executable_maps(void) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect)};
  int failed = filter == NULL;
  for (size_t i = 0; i < sizeof calls / sizeof *calls && !failed; i++)
    failed = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) != 0;
  if (failed || seccomp_load(filter) != 0)
    _exit(125);
  seccomp_release(filter);
  /* PITH_PLANT_EXEC: breaks the rule, to show that the filter bites. */
  if (getenv("PITH_PLANT_EXEC") != NULL)
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
