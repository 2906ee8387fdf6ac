/* Asks each check in turn, and puts the first that fails into words. */

#include "admission.h"

#include <stddef.h>
#include <string.h>

#include "config.h"
#include "sha256.h"
#include "signature.h"

#define REASON_LENGTH_MAX 95u

static struct {
  uint32_t memory_length_max;
  const wasm_module_function *needed;
  uint32_t needed_count;
  char reason[REASON_LENGTH_MAX + 1];
} admission;

static bool refuse(const char *reason);
static void say(const char *text);
static void say_number(uint32_t number);
static bool is_signed(const image_parts *image);
static bool is_new_enough(const image_version *version, const image_version *floor);
static bool is_module(wasm_module *module, const image_parts *image);

void admission_open(uint32_t memory_length_max, const wasm_module_function *needed, uint32_t needed_count) {
  admission.memory_length_max = memory_length_max;
  admission.needed = needed;
  admission.needed_count = needed_count;
}

bool admission_check(admission_facts *facts, const uint8_t *bytes, uint32_t available, const image_version *floor) {
  const image_result result = image_read(&facts->image, bytes, available);
  if (result != IMAGE_OK) return refuse(image_reason(result));
  return is_signed(&facts->image) && is_new_enough(&facts->image.version, floor) &&
         is_module(&facts->module, &facts->image);
}

bool admission_check_header(const uint8_t *bytes, uint32_t length, uint32_t length_of_all, const image_version *floor) {
  if (length < IMAGE_HEADER_LENGTH) return true;
  image_parts image;
  image_result result = image_read_header(&image, bytes, length);
  if (result == IMAGE_OK &&
      (length_of_all < IMAGE_HEADER_LENGTH || image.module_length > length_of_all - IMAGE_HEADER_LENGTH))
    result = IMAGE_TOO_SHORT;
  if (result != IMAGE_OK) return refuse(image_reason(result));
  return is_new_enough(&image.version, floor);
}

const char *admission_reason(void) {
  return admission.reason;
}

/* -- The checks -- */

/* The public key as DER SubjectPublicKeyInfo (RFC 8410, 4) begins with this. */
static const uint8_t KEY_PREFIX[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

void admission_key_hash(const uint8_t key[SIGNATURE_KEY_LENGTH], uint8_t hash[SHA256_LENGTH]) {
  sha256_context context;
  sha256_begin(&context);
  sha256_add(&context, KEY_PREFIX, sizeof KEY_PREFIX);
  sha256_add(&context, key, SIGNATURE_KEY_LENGTH);
  sha256_end(&context, hash);
}

bool admission_is_signed_with(const image_parts *image, const uint8_t key[SIGNATURE_KEY_LENGTH]) {
  if (image->signature == NULL) return refuse("it is not signed, and this board takes only signed modules");

  uint8_t key_hash[SHA256_LENGTH];
  admission_key_hash(key, key_hash);
  if (memcmp(key_hash, image->key_hash, sizeof key_hash) != 0)
    return refuse("it is signed with another key than that of this board");
  return signature_is_valid(image->signature, image->hash, key) || refuse("its signature is wrong");
}

static bool is_signed(const image_parts *image) {
  const uint8_t *key = config_public_key();
  return key == NULL || admission_is_signed_with(image, key);
}

static void say_version(const image_version *version) {
  say_number(version->major);
  say(".");
  say_number(version->minor);
  say(".");
  say_number(version->revision);
  if (version->build == 0) return;
  say("+");
  say_number(version->build);
}

static bool is_new_enough(const image_version *version, const image_version *floor) {
  if (floor == NULL || image_compare_versions(version, floor) >= 0) return true;
  refuse("its version ");
  say_version(version);
  say(" is older than ");
  say_version(floor);
  say(", confirmed here");
  return false;
}

static bool is_module(wasm_module *module, const image_parts *image) {
  const char *missing = NULL;
  const wasm_module_result result =
      wasm_module_read(module, image->module, image->module_length, admission.needed, admission.needed_count, &missing);
  if (result != WASM_MODULE_OK) {
    refuse(wasm_module_reason(result));
    if (result == WASM_MODULE_OTHER_ABI) {
      say(": ");
      say_number(module->abi_version);
      say(" instead of ");
      say_number(WASM_MODULE_ABI_VERSION);
    }
    if (missing != NULL) say(missing);
    return false;
  }
  if (module->memory_length <= admission.memory_length_max) return true;
  refuse("it needs ");
  say_number(module->memory_length);
  say(" bytes of memory, and this board has ");
  say_number(admission.memory_length_max);
  say(" for it");
  return false;
}

/* -- Words -- */

/* Begins the sentence. Always false. */
static bool refuse(const char *reason) {
  admission.reason[0] = '\0';
  say(reason);
  return false;
}

static void say(const char *text) {
  size_t length = strlen(admission.reason);
  while (*text != '\0' && length < REASON_LENGTH_MAX) admission.reason[length++] = *text++;
  admission.reason[length] = '\0';
}

static void say_number(uint32_t number) {
  char digits[11];
  char *at = digits + sizeof digits - 1;
  *at = '\0';
  do {
    *--at = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  say(at);
}
