/* Declarations as in ESP-IDF's documents (High Resolution Timer), for checking only. */
#pragma once
#include <stdint.h>

int64_t esp_timer_get_time(void);
