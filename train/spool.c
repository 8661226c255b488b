#include "train/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16 };

static pith_status fail(const pith_spool *spool, const char *what, pith_error *error) {
  return pith_fail(error, PITH_IO, "%s: %s a temporary file: %s", spool->folder, what, strerror(errno));
}

/* Where the file system has no files without names, one whose name is taken away at once. */
static int open_named(const char *folder) {
  char path[4200];
  const int bytes = snprintf(path, sizeof path, "%s/pith-XXXXXX", folder);
  if (bytes < 0 || (size_t)bytes >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  const int fd = mkostemp(path, O_CLOEXEC);
  if (fd >= 0)
    (void)unlink(path);
  return fd;
}

const char *pith_spool_get_folder(const char *output, pith_arena *arena) {
  const char *slash = strrchr(output, '/');
  return slash == NULL ? "." : slash == output ? "/" : pith_arena_string(arena, output, (size_t)(slash - output));
}

pith_status pith_spool_open(pith_spool *spool, const char *folder, pith_error *error) {
  *spool = (pith_spool){.folder = folder};
  int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    fd = open_named(folder);
  if (fd < 0)
    return fail(spool, "cannot make", error);
  spool->file = fdopen(fd, "w+b");
  if (spool->file == NULL || setvbuf(spool->file, NULL, _IOFBF, BUFFER_BYTES) != 0) {
    const pith_status status = fail(spool, "cannot make", error);
    if (spool->file == NULL)
      close(fd);
    pith_spool_close(spool);
    return status;
  }
  return PITH_OK;
}

pith_status pith_spool_write(pith_spool *spool, const void *bytes, size_t size, pith_error *error) {
  if (size != 0 && fwrite(bytes, 1, size, spool->file) != size)
    return fail(spool, "cannot write", error);
  spool->size += size;
  return PITH_OK;
}

pith_status pith_spool_map(pith_spool *spool, pith_error *error) {
  if (fflush(spool->file) != 0)
    return fail(spool, "cannot write", error);
  if (spool->size == 0)
    return PITH_OK;
  void *bytes = mmap(NULL, spool->size, PROT_READ, MAP_SHARED, fileno(spool->file), 0);
  if (bytes == MAP_FAILED)
    return fail(spool, "cannot map", error);
  spool->bytes = bytes;
  return PITH_OK;
}

pith_status pith_spool_reserve(pith_spool *spool, uint64_t bytes, void **out_bytes, pith_error *error) {
  *out_bytes = NULL;
  errno = bytes > INT64_MAX ? EFBIG : posix_fallocate(fileno(spool->file), 0, (off_t)bytes);
  if (errno != 0)
    return fail(spool, "cannot write", error);
  void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(spool->file), 0);
  if (mapped == MAP_FAILED)
    return fail(spool, "cannot map", error);
  spool->size = bytes;
  spool->bytes = *out_bytes = mapped;
  return PITH_OK;
}

void pith_spool_close(pith_spool *spool) {
  if (spool->bytes != NULL)
    munmap((void *)(uintptr_t)spool->bytes, spool->size);
  if (spool->file != NULL)
    fclose(spool->file);
  *spool = (pith_spool){.file = NULL};
}
