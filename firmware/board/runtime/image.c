/* Reads MCUboot images that may come from anywhere: every length is checked against what is there. */

#include "image.h"

#include <stddef.h>
#include <string.h>

#include "bytes.h"
#include "sha256.h"

#define TLV_HEADER_LENGTH 4

static image_result read_tlvs(image_parts *to, const uint8_t *at, uint32_t length);

image_result image_read(image_parts *to, const uint8_t *bytes, uint32_t available) {
  image_result result = image_read_header(to, bytes, available);
  if (result != IMAGE_OK) return result;
  uint32_t behind = available - IMAGE_HEADER_LENGTH;
  if (to->module_length > behind || behind - to->module_length < TLV_HEADER_LENGTH) return IMAGE_TOO_SHORT;
  to->module = bytes + IMAGE_HEADER_LENGTH;

  const uint8_t *area = to->module + to->module_length;
  uint32_t area_length = bytes_u16(area + 2);
  if (bytes_u16(area) != 0x6907 || area_length < TLV_HEADER_LENGTH) return IMAGE_DAMAGED_TLVS;
  if (area_length > behind - to->module_length) return IMAGE_TOO_SHORT;
  to->length = IMAGE_HEADER_LENGTH + to->module_length + area_length;
  result = read_tlvs(to, area + TLV_HEADER_LENGTH, area_length - TLV_HEADER_LENGTH);
  if (result != IMAGE_OK) return result;

  uint8_t digest[SHA256_LENGTH];
  sha256_of(bytes, IMAGE_HEADER_LENGTH + to->module_length, digest);
  return memcmp(digest, to->hash, sizeof digest) == 0 ? IMAGE_OK : IMAGE_WRONG_HASH;
}

image_result image_read_header(image_parts *to, const uint8_t *bytes, uint32_t available) {
  if (available < IMAGE_HEADER_LENGTH) return IMAGE_TOO_SHORT;
  if (bytes_u32(bytes) != 0x96f3b83d) return IMAGE_NO_IMAGE;
  /* Load address, lengths of header and protected TLVs, flags, and what pads the header. */
  if (bytes_u32(bytes + 4) != 0 || bytes_u32(bytes + 8) != IMAGE_HEADER_LENGTH || bytes_u32(bytes + 16) != 0 ||
      bytes_u32(bytes + 28) != 0) {
    return IMAGE_ODD_HEADER;
  }
  to->module_length = bytes_u32(bytes + 12);
  to->version = (image_version){bytes[20], bytes[21], bytes_u16(bytes + 22), bytes_u32(bytes + 24)};
  return IMAGE_OK;
}

typedef enum { TLV_KEY_HASH = 0x01, TLV_SHA256 = 0x10, TLV_ED25519 = 0x24 } tlv_type;

/* Each of the three kinds at most once, and nothing else. */
static image_result read_tlvs(image_parts *to, const uint8_t *at, uint32_t length) {
  to->hash = to->key_hash = to->signature = NULL;
  const uint8_t *end = at + length;
  while (at < end) {
    if (end - at < TLV_HEADER_LENGTH) return IMAGE_DAMAGED_TLVS;
    tlv_type type = bytes_u16(at);
    uint32_t value_length = bytes_u16(at + 2);
    at += TLV_HEADER_LENGTH;
    const uint8_t **value = type == TLV_SHA256 ? &to->hash : type == TLV_KEY_HASH ? &to->key_hash : &to->signature;
    if (type != TLV_SHA256 && type != TLV_KEY_HASH && type != TLV_ED25519) return IMAGE_DAMAGED_TLVS;
    if (*value != NULL || value_length != (type == TLV_ED25519 ? 64 : 32) || value_length > (uint32_t)(end - at))
      return IMAGE_DAMAGED_TLVS;
    *value = at;
    at += value_length;
  }
  if (to->hash == NULL) return IMAGE_NO_HASH;
  return (to->key_hash == NULL) == (to->signature == NULL) ? IMAGE_OK : IMAGE_HALF_SIGNED;
}

const char *image_reason(image_result result) {
  switch (result) {
    case IMAGE_OK:
      return "it is whole";
    case IMAGE_NO_IMAGE:
      return "it is no module in an MCUboot container";
    case IMAGE_ODD_HEADER:
      return "the header of its container has fields that a module has not";
    case IMAGE_TOO_SHORT:
      return "it is shorter than its container says";
    case IMAGE_DAMAGED_TLVS:
      return "what lies behind the module in its container is damaged";
    case IMAGE_NO_HASH:
      return "its container has no SHA-256";
    case IMAGE_WRONG_HASH:
      return "its SHA-256 is wrong: it is damaged";
    case IMAGE_HALF_SIGNED:
      return "its container has a signature or a key, and not both";
  }
  return "";
}

int image_compare_versions(const image_version *left, const image_version *right) {
  uint32_t left_front = (uint32_t)left->major << 24 | (uint32_t)left->minor << 16 | left->revision;
  uint32_t right_front = (uint32_t)right->major << 24 | (uint32_t)right->minor << 16 | right->revision;
  if (left_front != right_front) return left_front < right_front ? -1 : 1;
  if (left->build != right->build) return left->build < right->build ? -1 : 1;
  return 0;
}
