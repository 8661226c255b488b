#include "engine/base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static pith_status map(int fd, const char *path, pith_mapped_file *out_file, pith_error *error) {
  struct stat status;
  if (fstat(fd, &status) != 0)
    return pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
  if (S_ISDIR(status.st_mode))
    return pith_fail(error, PITH_IO, "%s: %s", path, strerror(EISDIR));
  if (!S_ISREG(status.st_mode))
    return pith_fail(error, PITH_IO, "%s: not a regular file", path);
  if ((uint64_t)status.st_size > SIZE_MAX)
    return pith_fail(error, PITH_LIMIT, "%s: %lld bytes do not fit the address space", path,
                     (long long)status.st_size);
  size_t size = (size_t)status.st_size;
  if (size == 0) {
    *out_file = (pith_mapped_file){NULL, 0};
    return PITH_OK;
  }
  void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (bytes == MAP_FAILED)
    return pith_fail(error, errno == ENOMEM ? PITH_OUT_OF_MEMORY : PITH_IO, "%s: mapping %zu bytes: %s", path,
                     size, strerror(errno));
  *out_file = (pith_mapped_file){bytes, size};
  return PITH_OK;
}

pith_status pith_mapped_file_open(const char *path, pith_mapped_file *out_file, pith_error *error) {
  *out_file = (pith_mapped_file){NULL, 0};
  /* Without O_NONBLOCK a FIFO would wait here for a writer. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
  pith_status status = map(fd, path, out_file, error);
  close(fd);
  return status;
}

void pith_mapped_file_leave(const pith_mapped_file *file) {
  if (file->bytes != NULL)
    (void)madvise((void *)(uintptr_t)file->bytes, file->size, MADV_DONTNEED);
}

void pith_mapped_file_close(pith_mapped_file *file) {
  if (file->bytes != NULL)
    munmap((void *)(uintptr_t)file->bytes, file->size);
  *file = (pith_mapped_file){NULL, 0};
}
