/* Where ESP-IDF goes after the start: sets the board up, and runs the runtime in a thread of its own. */

#include <pthread.h>
#include <stddef.h>

#include "esp_err.h"
#include "nvs_flash.h"

#include "flash.h"
#include "net.h"
#include "runtime.h"
#include "serial.h"
#include "system.h"
#include "tunnel.h"

static void *run(void *unused);

/* WAMR asks for the thread it runs in, and there is none in a plain task: hence the pthread. */
void app_main(void) {
  ESP_ERROR_CHECK(nvs_flash_init());
  serial_start();
  flash_start();

  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, SYSTEM_STACK_LENGTH);
  pthread_create(&thread, &attributes, run, NULL);
}

static void *run(void *unused) {
  (void)unused;
  runtime_run(net_start() ? &net_link : &tunnel_link);
}
