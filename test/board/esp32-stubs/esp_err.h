/* Declarations as in ESP-IDF's documents (Error Handling), for checking only. */
#pragma once
#include <stdint.h>
#include <stdlib.h>

typedef int esp_err_t;
#define ESP_OK 0
#define ESP_ERR_NO_MEM 0x101
#define ESP_ERR_NOT_FOUND 0x105
#define ESP_ERROR_CHECK(result) ((result) == ESP_OK ? (void)0 : abort())
