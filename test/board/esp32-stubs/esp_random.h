/* Declarations as in ESP-IDF's documents (Random Number Generation), for checking only. */
#pragma once
#include <stdint.h>

uint32_t esp_random(void);
