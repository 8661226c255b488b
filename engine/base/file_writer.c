#include "engine/base/file_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 << 10, NAME_ATTEMPTS = 100 };

static pith_status fail_errno(const pith_file_writer *writer, const char *what, pith_error *error) {
  int reason = errno;
  return pith_fail(error, reason == ENOMEM ? PITH_OUT_OF_MEMORY : PITH_IO, "%s: %s: %s", writer->path, what,
                   strerror(reason));
}

/* The path itself, or what it points to where it is a symbolic link to something. */
static char *resolve(pith_arena *arena, const char *path) {
  struct stat status;
  if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode)) {
    char *target = realpath(path, NULL);
    if (target != NULL) {
      char *copy = pith_arena_string(arena, target, strlen(target));
      free(target);
      return copy;
    }
  }
  return pith_arena_string(arena, path, strlen(path));
}

/* A name beside the path that no file has: `make` makes the file and says whether it could. */
static pith_status make_temporary(pith_file_writer *writer, bool (*make)(pith_file_writer *writer, const char *name),
                                  pith_error *error) {
  for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
      return fail_errno(writer, "choosing a temporary name", error);
    char *name = pith_arena_format(&writer->arena, "%s.%016llx.tmp", writer->path, (unsigned long long)random);
    if (name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", writer->path);
    if (make(writer, name)) {
      writer->temporary = name;
      return PITH_OK;
    }
    if (errno != EEXIST)
      break;
  }
  return fail_errno(writer, "cannot create a file here", error);
}

static bool make_named(pith_file_writer *writer, const char *name) {
  writer->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  return writer->fd >= 0;
}

static bool make_link(pith_file_writer *writer, const char *name) {
  char fd_path[40];
  snprintf(fd_path, sizeof fd_path, "/proc/self/fd/%d", writer->fd);
  return linkat(AT_FDCWD, fd_path, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
}

/* A file without a name until it is committed: a process that is killed leaves nothing. -1 where the file system has no
 * such files, or /proc, which names it later, is not mounted. */
static int open_unnamed(pith_file_writer *writer) {
  if (access("/proc/self/fd", X_OK) != 0)
    return -1;
  const char *slash = strrchr(writer->path, '/');
  const char *folder = slash == NULL             ? "."
                       : slash == writer->path ? "/"
                                                 : pith_arena_string(&writer->arena, writer->path,
                                                                     (size_t)(slash - writer->path));
  return folder == NULL ? -1 : open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
}

static pith_status open_path(pith_file_writer *writer, const char *path, pith_error *error) {
  writer->path = resolve(&writer->arena, path);
  writer->buffer = pith_arena_array(&writer->arena, BUFFER_BYTES, 1);
  if (writer->path == NULL || writer->buffer == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", path);
  struct stat status;
  if (stat(writer->path, &status) != 0) {
    if (errno != ENOENT)
      return fail_errno(writer, "cannot write", error);
  } else if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return fail_errno(writer, "cannot write", error);
  } else if (!S_ISREG(status.st_mode)) {
    writer->in_place = true;
    writer->fd = open(writer->path, O_WRONLY | O_CLOEXEC);
    return writer->fd < 0 ? fail_errno(writer, "cannot write", error) : PITH_OK;
  } else if (faccessat(AT_FDCWD, writer->path, W_OK, AT_EACCESS) != 0) {
    return fail_errno(writer, "cannot replace", error); /* a rename would not ask for this permission */
  }
  writer->fd = open_unnamed(writer);
  return writer->fd >= 0 ? PITH_OK : make_temporary(writer, make_named, error);
}

pith_status pith_file_writer_open(pith_file_writer *writer, const char *path, pith_error *error) {
  *writer = (pith_file_writer){.fd = -1};
  pith_arena_init(&writer->arena, NULL);
  pith_status status = open_path(writer, path, error);
  if (status != PITH_OK)
    pith_file_writer_discard(writer);
  return status;
}

static pith_status write_all(pith_file_writer *writer, const uint8_t *bytes, size_t size, pith_error *error) {
  while (size != 0) {
    ssize_t written = write(writer->fd, bytes, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail_errno(writer, "writing", error);
    bytes += written;
    size -= (size_t)written;
  }
  return PITH_OK;
}

static pith_status flush(pith_file_writer *writer, pith_error *error) {
  size_t buffered = writer->buffered;
  writer->buffered = 0;
  return write_all(writer, writer->buffer, buffered, error);
}

pith_status pith_file_writer_write(pith_file_writer *writer, const void *bytes, size_t size, pith_error *error) {
  if (size == 0)
    return PITH_OK;
  writer->position += size;
  if (size > BUFFER_BYTES - writer->buffered)
    PITH_TRY(flush(writer, error));
  if (size >= BUFFER_BYTES)
    return write_all(writer, bytes, size, error);
  memcpy(writer->buffer + writer->buffered, bytes, size);
  writer->buffered += size;
  return PITH_OK;
}

pith_status pith_file_writer_align(pith_file_writer *writer, size_t alignment, pith_error *error) {
  static const uint8_t zeros[4096];
  return pith_file_writer_write(writer, zeros, (size_t)(-writer->position & (alignment - 1)), error);
}

/* A rename is durable once the folder is. Some file systems cannot sync a folder (EINVAL), and a folder may be
 * writable but not readable: neither makes the file less complete. */
static pith_status sync_folder(pith_file_writer *writer, pith_error *error) {
  char *slash = strrchr(writer->path, '/');
  const char *folder = ".";
  if (slash != NULL) {
    folder = slash == writer->path ? "/" : writer->path;
    if (slash != writer->path)
      *slash = '\0';
  }
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int reason = 0;
  if (fd >= 0) {
    if (fsync(fd) != 0 && errno != EINVAL)
      reason = errno;
    close(fd);
  }
  if (slash != NULL)
    *slash = '/';
  errno = reason;
  return reason == 0 ? PITH_OK : fail_errno(writer, "syncing its folder", error);
}

pith_status pith_file_writer_commit(pith_file_writer *writer, pith_error *error) {
  PITH_TRY(flush(writer, error));
  if (fsync(writer->fd) != 0 && !(writer->in_place && (errno == EINVAL || errno == EROFS)))
    return fail_errno(writer, "syncing", error);
  if (!writer->in_place && writer->temporary == NULL)
    PITH_TRY(make_temporary(writer, make_link, error));
  int fd = writer->fd;
  writer->fd = -1;
  if (close(fd) != 0)
    return fail_errno(writer, "closing", error);
  if (writer->in_place)
    return PITH_OK;
  if (rename(writer->temporary, writer->path) != 0)
    return fail_errno(writer, "renaming into place", error);
  writer->temporary = NULL;
  return sync_folder(writer, error);
}

void pith_file_writer_discard(pith_file_writer *writer) {
  if (writer->fd >= 0)
    close(writer->fd);
  if (writer->temporary != NULL)
    unlink(writer->temporary);
  pith_arena_deinit(&writer->arena);
  *writer = (pith_file_writer){.fd = -1};
}
