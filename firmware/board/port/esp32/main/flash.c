/* The areas of port.h as partitions: partitions.csv. */

#include "flash.h"

#include <stddef.h>

#include "esp_err.h"
#include "esp_partition.h"

#include "port.h"

/* The flash takes single bytes; whole words are what all its drivers are quick with. */
#define WORD_LENGTH 4u

/* The subtype of the first area in partitions.csv; the others follow. */
#define FIRST_SUBTYPE 0x40

static struct {
  const esp_partition_t *partition;
  const void *at;
} areas[PORT_AREA_COUNT];

void flash_start(void) {
  for (int area = 0; area < PORT_AREA_COUNT; area++) {
    const esp_partition_t *partition =
        esp_partition_find_first(ESP_PARTITION_TYPE_DATA, (esp_partition_subtype_t)(FIRST_SUBTYPE + area), NULL);
    ESP_ERROR_CHECK(partition == NULL ? ESP_ERR_NOT_FOUND : ESP_OK);
    esp_partition_mmap_handle_t handle;
    ESP_ERROR_CHECK(esp_partition_mmap(partition, 0, partition->size, ESP_PARTITION_MMAP_DATA, &areas[area].at, &handle));
    areas[area].partition = partition;
  }
}

port_area_info port_flash_info(port_area area) {
  const esp_partition_t *partition = areas[area].partition;
  return (port_area_info){.length = partition->size, .sector_length = partition->erase_size, .word_length = WORD_LENGTH};
}

const uint8_t *port_flash_at(port_area area) { return areas[area].at; }

bool port_flash_program(port_area area, uint32_t offset, const uint8_t *bytes, uint32_t length) {
  return esp_partition_write(areas[area].partition, offset, bytes, length) == ESP_OK;
}

bool port_flash_erase(port_area area, uint32_t offset) {
  const esp_partition_t *partition = areas[area].partition;
  return esp_partition_erase_range(partition, offset, partition->erase_size) == ESP_OK;
}
