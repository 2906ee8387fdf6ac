/* The chip under the runtime: identity, time, resets, watchdog, stack. */

#include "system.h"

#include "esp_err.h"
#include "esp_random.h"
#include "esp_system.h"
#include "esp_task_wdt.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "sdkconfig.h"

#include "port.h"

const char *port_name(void) { return CONFIG_IDF_TARGET; }

uint32_t port_random(void) { return esp_random(); }

uint32_t port_now_ms(void) { return (uint32_t)(esp_timer_get_time() / 1000); }

/* Crashes count as falls of the module, as what the watchdog ends does: both are why a new module must not stay. */
port_reset_reason port_why_reset(void) {
  switch (esp_reset_reason()) {
    case ESP_RST_SW:
      return PORT_RESET_REQUEST;
    case ESP_RST_PANIC:
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
      return PORT_RESET_WATCHDOG;
    default:
      return PORT_RESET_POWER;
  }
}

_Noreturn void port_reset(void) { esp_restart(); }

void port_watchdog_feed(uint32_t timeout_ms) {
  static uint32_t started_with_ms = 0;
  if (timeout_ms != started_with_ms) {
    const esp_task_wdt_config_t config = {.timeout_ms = timeout_ms, .idle_core_mask = 0, .trigger_panic = true};
    if (started_with_ms == 0) {
      ESP_ERROR_CHECK(esp_task_wdt_init(&config));
      ESP_ERROR_CHECK(esp_task_wdt_add(NULL));
    } else {
      ESP_ERROR_CHECK(esp_task_wdt_reconfigure(&config));
    }
    started_with_ms = timeout_ms;
  }
  ESP_ERROR_CHECK(esp_task_wdt_reset());
}

/* ESP-IDF counts stacks in bytes, not in words. */
port_stack_info port_stack(void) {
  const uint32_t never_used = (uint32_t)uxTaskGetStackHighWaterMark(NULL);
  return (port_stack_info){.used = SYSTEM_STACK_LENGTH - never_used, .size = SYSTEM_STACK_LENGTH};
}
