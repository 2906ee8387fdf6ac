/* Declarations as in ESP-IDF's documents (Non-Volatile Storage Library), for checking only. */
#pragma once
#include "esp_err.h"

esp_err_t nvs_flash_init(void);
