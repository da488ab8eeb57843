// Steps the wall clock of the program that it is preloaded into, as an administrator or a time server does: adds the
// milliseconds in the file LLM_PICKER_CLOCK, eight bytes, to the real time. The monotonic clock is left alone.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *step;

__attribute__((constructor)) static void map_step(void) {
  static const long long none = 0;
  const char *file = getenv("LLM_PICKER_CLOCK");
  int fd = file ? open(file, O_RDONLY) : -1;
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  step = mapped == MAP_FAILED ? &none : mapped;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, time);
  if (failed || !step || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
  /* Read once: a step between two readings would leave a time that is neither the one nor the other. */
  const long long ms = *step;
  long long nanos = time->tv_nsec + ms % 1000 * 1000000;
  time->tv_sec += ms / 1000 + (nanos >= 1000000000) - (nanos < 0);
  time->tv_nsec = (nanos + 1000000000) % 1000000000;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &now);
  if (!failed && time) *time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
  return failed;
}

time_t time(time_t *seconds) {
  struct timespec now = {0, 0};
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds) *seconds = now.tv_sec;
  return now.tv_sec;
}
