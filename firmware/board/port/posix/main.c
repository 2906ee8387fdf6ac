/* A board as a program: reads its command line, sets itself up and runs the runtime. */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "posix.h"
#include "runtime.h"
#include "tunnel.h"

static const char usage[] =
    "Usage: board [--flash FILE] [--serial PATH]\n"
    "\n"
    "  --flash FILE    keeps the flash in this file; without it, it is lost at the end\n"
    "  --serial PATH   the serial line; without it a new pty, whose path is the first line of stdout\n";

_Noreturn void posix_fail(const char *what, const char *name) {
  fprintf(stderr, "board: %s %s: ", what, name);
  perror(NULL);
  exit(1);
}

int main(int count, char **arguments) {
  static const struct option options[] = {
      {"flash", required_argument, NULL, 'f'},
      {"serial", required_argument, NULL, 's'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  const char *flash = NULL;
  const char *serial = NULL;
  int option;
  while ((option = getopt_long(count, arguments, "", options, NULL)) != -1) {
    if (option == 'f') {
      flash = optarg;
    } else if (option == 's') {
      serial = optarg;
    } else {
      fputs(usage, option == 'h' ? stdout : stderr);
      return option == 'h' ? 0 : 2;
    }
  }
  if (optind < count) {
    fputs(usage, stderr);
    return 2;
  }
  reset_start(arguments);
  clock_start();
  flash_start(flash);
  serial_start(serial);
  runtime_run(&tunnel_link);
}

const char *port_name(void) { return "posix"; }
