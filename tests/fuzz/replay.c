/* Gives a fuzzer the files of a folder, where libFuzzer is not there to do it. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path) {
  struct stat status;
  if (stat(path, &status) != 0)
    return -1;
  if (!S_ISREG(status.st_mode))
    return 0;
  FILE *file = fopen(path, "rb");
  size_t size = (size_t)status.st_size;
  uint8_t *data = malloc(size == 0 ? 1 : size);
  int result = -1;
  if (file != NULL && data != NULL && fread(data, 1, size, file) == size) {
    LLVMFuzzerTestOneInput(data, size);
    result = 1;
  }
  free(data);
  if (file != NULL)
    fclose(file);
  return result;
}

int main(int argc, char **argv) {
  DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
  if (folder == NULL) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
    int one = replay(path);
    if (one < 0) {
      fprintf(stderr, "%s: cannot be read\n", path);
      return 1;
    }
    count += one;
  }
  closedir(folder);
  printf("%d inputs\n", count);
  return count == 0; /* a fuzzer without inputs tests nothing */
}
