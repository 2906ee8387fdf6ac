/* The runtime of a board: the one loop, and the life of the module in it. */

#include "runtime.h"

#include <string.h>

#include "../engine/engine.h"
#include "../port/port.h"
#include "config.h"
#include "console.h"
#include "instance.h"
#include "journal.h"
#include "module.h"
#include "sensor.h"
#include "sha256.h"
#include "slots.h"
#include "smp.h"
#include "tunnel.h"
#include "wire.h"

/* Everything that the engine needs for one module, its linear memory included. Where addresses have 64 bits, code is larger. */
#ifndef RUNTIME_HEAP_LENGTH
#if UINTPTR_MAX > UINT32_MAX
#define RUNTIME_HEAP_LENGTH 262144u
#else
#define RUNTIME_HEAP_LENGTH 49152u
#endif
#endif

/* A module's linear memory; the rest of the heap is for its code. */
#ifndef RUNTIME_MEMORY_LENGTH_MAX
#define RUNTIME_MEMORY_LENGTH_MAX 16384u
#endif

/* A module that has run so long is a good one. A connection alone proves nothing: readings and commands begin with it. */
#define HEALTHY_MS 10000u

#define RESTART_BASE_MS 1000u
#define RESTART_MAX_MS 60000u

#define RESET_DELAY_MS 250u
#define RESET_FLUSH_MS 1000u

/* While bytes wait for the line, nobody wakes the board when it has room. */
#define LINE_POLL_MS 2u

#define DEFAULT_INTERVAL_MS 10000u
#define DEFAULT_QOS 1u

#define RECEIVE_LENGTH 128u

/* Stopped for good or not there; runs; fell and will be started again. What was refused waits for a change. */
typedef enum { LIFE_NONE, LIFE_RUNNING, LIFE_WAITING, LIFE_REFUSED } life_state;

static struct {
  const link_driver *link;
  uint32_t booted_at_ms;
  life_state life;
  slots_choice choice;
  uint8_t sha256[SHA256_LENGTH];
  uint32_t started_at_ms;
  bool is_healthy;
  /* Since when it waits to be started again, and how long. */
  uint32_t fell_at_ms;
  uint32_t delay_ms;
  uint32_t start_count;
  uint32_t fall_count;
  char note[SLOTS_NOTE_LENGTH_MAX + 1];
  bool is_config_changed;
  bool is_session_given_up;
  bool is_reset_due;
  uint32_t reset_asked_at_ms;
} runtime;

static _Alignas(16) uint8_t heap[RUNTIME_HEAP_LENGTH];

static void on_frame(const wire_frame *frame, uint32_t now_ms);
static void on_packet(const uint8_t *packet, size_t length, uint32_t now_ms);
static const wire_handlers handlers = {on_frame, on_packet, NULL};

static void start(const link_driver *link);
static void receive(uint32_t now_ms);
static void transmit(void);
static void live(uint32_t now_ms);
static uint32_t idle_ms(uint32_t now_ms);

_Noreturn void runtime_run(const link_driver *link) {
  start(link);
  for (;;) {
    const uint32_t now_ms = port_now_ms();
    port_watchdog_feed(RUNTIME_WATCHDOG_MS);
    receive(now_ms);
    live(now_ms);
    module_run(now_ms);
    link->tick(now_ms);
    wire_tick(now_ms);
    transmit();
    port_sleep(idle_ms(port_now_ms()));
  }
}

/* -- The line -- */

static void on_frame(const wire_frame *frame, uint32_t now_ms) {
  if (runtime.link == &tunnel_link) tunnel_take(frame, now_ms);
}

/* Not called before the answer to the last one has gone. */
static void on_packet(const uint8_t *packet, size_t length, uint32_t now_ms) {
  static uint8_t answer[SMP_ANSWER_MAX];
  (void)now_ms;
  const size_t answer_length = smp_answer(answer, packet, length);
  if (answer_length > 0) wire_send_packet(answer, answer_length);
}

static void receive(uint32_t now_ms) {
  uint8_t bytes[RECEIVE_LENGTH];
  const size_t length = port_serial_read(bytes, sizeof bytes);
  if (length > 0) wire_receive(bytes, length, now_ms);
}

static void transmit(void) {
  const uint8_t *bytes;
  size_t length = wire_outgoing(&bytes);
  while (length > 0) {
    const size_t taken_length = port_serial_write(bytes, length);
    if (taken_length == 0) return;
    wire_sent(taken_length);
    length = wire_outgoing(&bytes);
  }
}

static bool has_output(void) {
  const uint8_t *bytes;
  return wire_outgoing(&bytes) > 0 || wire_is_sending_packet();
}

static uint32_t sooner(uint32_t left_ms, uint32_t right_ms) {
  return left_ms < right_ms ? left_ms : right_ms;
}

static uint32_t left_ms(uint32_t since_ms, uint32_t delay_ms, uint32_t now_ms) {
  /* What was asked for within this round lies behind its time. */
  const int32_t passed_ms = (int32_t)(now_ms - since_ms);
  if (passed_ms <= 0) return delay_ms;
  return (uint32_t)passed_ms < delay_ms ? delay_ms - (uint32_t)passed_ms : 0;
}

/* Until something is due; the watchdog must be fed meanwhile. */
static uint32_t idle_ms(uint32_t now_ms) {
  uint32_t idle = sooner(RUNTIME_WATCHDOG_MS / 2, wire_deadline_ms(now_ms));
  idle = sooner(idle, runtime.link->next_deadline_ms(now_ms));
  idle = sooner(idle, module_next_deadline_ms(now_ms));
  if (has_output()) idle = sooner(idle, LINE_POLL_MS);
  if (runtime.is_config_changed || (runtime.life == LIFE_RUNNING && module_now() != MODULE_RUNNING)) idle = 0;
  if (runtime.is_reset_due) idle = sooner(idle, left_ms(runtime.reset_asked_at_ms, RESET_DELAY_MS, now_ms));
  if (runtime.life == LIFE_WAITING) idle = sooner(idle, left_ms(runtime.fell_at_ms, runtime.delay_ms, now_ms));
  return idle;
}

/* -- What people are told -- */

static void keep_note(const char *note) {
  size_t length = strlen(note);
  if (length > SLOTS_NOTE_LENGTH_MAX) length = SLOTS_NOTE_LENGTH_MAX;
  memcpy(runtime.note, note, length);
  runtime.note[length] = '\0';
}

static void say_banner(void) {
  static const char *const reasons[] = {
      [PORT_RESET_POWER] = "power came on", [PORT_RESET_REQUEST] = "a restart was asked for", [PORT_RESET_WATCHDOG] = "the watchdog"};
  console_text("wasmqtt board ");
  console_text(port_name());
  console_text(", runtime " RUNTIME_VERSION ", ");
  console_text(engine_name());
  console_text("; started by: ");
  console_text(reasons[port_why_reset()]);
  console_end();
}

static void say_version(const image_version *version) {
  console_number(version->major);
  console_text(".");
  console_number(version->minor);
  console_text(".");
  console_number(version->revision);
  console_text("+");
  console_number(version->build);
}

static void say_module(void) {
  const image_parts *found = &runtime.choice.facts.image;
  console_text("module ");
  console_hex(runtime.sha256, sizeof runtime.sha256);
  console_text(", slot ");
  console_number(runtime.choice.slot);
  console_text(", ");
  console_number(found->module_length);
  console_text(" bytes, version ");
  say_version(&found->version);
  if (runtime.choice.is_trial) console_text(", on trial");
  console_end();
}

static void say_memory(void) {
  const port_stack_info stack = port_stack();
  const uint32_t used = engine_heap_used();
  console_text("memory: heap ");
  console_number(used);
  console_text(" bytes used, ");
  console_number(RUNTIME_HEAP_LENGTH - used);
  console_text(" free; stack ");
  console_number(stack.used);
  console_text(" used, ");
  console_number(stack.size - stack.used);
  console_text(" free");
  console_end();
}

/* -- The life of the module -- */

static module_field field_of(config_key key) {
  module_field field = {0};
  field.bytes = config_bytes(key, &field.length);
  if (field.bytes == NULL) field.length = 0;
  return field;
}

static module_settings read_settings(void) {
  module_settings settings = {
      .id = field_of(CONFIG_ID),
      .user = field_of(CONFIG_USER),
      .profile = field_of(CONFIG_PROFILE),
      .interval_ms = DEFAULT_INTERVAL_MS,
      .qos = DEFAULT_QOS,
  };
  settings.pass.bytes = config_password(&settings.pass.length);
  if (settings.pass.bytes == NULL) settings.pass.length = 0;
  config_number(CONFIG_INTERVAL, &settings.interval_ms);
  config_number(CONFIG_QOS, &settings.qos);
  return settings;
}

static void start_module(uint32_t now_ms) {
  const module_place place = {
      .module = runtime.choice.facts.image.module,
      .module_length = runtime.choice.facts.image.module_length,
      .memory_length = runtime.choice.facts.module.memory_length,
      .heap = heap,
      .heap_length = sizeof heap,
  };
  const module_settings settings = read_settings();
  runtime.life = LIFE_RUNNING;
  port_watchdog_feed(RUNTIME_WATCHDOG_MS);
  runtime.started_at_ms = now_ms;
  runtime.is_healthy = false;
  runtime.start_count++;
  if (!module_start(&place, &settings, runtime.link, now_ms)) return;
  console_text("module runs as ");
  console_bytes(settings.id.bytes, settings.id.length);
  console_end();
  say_memory();
}

/* Takes what is to run now, and begins with it. */
static void choose_module(uint32_t now_ms) {
  const bool is_there = slots_choose(&runtime.choice);
  keep_note(slots_note());
  if (runtime.note[0] != '\0') console_say(runtime.note);
  if (!is_there) {
    runtime.life = LIFE_NONE;
    console_say("no module runs: send one with `wasmqtt flash`");
    return;
  }
  const image_parts *found = &runtime.choice.facts.image;
  sha256_of(found->module, found->module_length, runtime.sha256);
  say_module();
  start_module(now_ms);
}

static uint32_t next_delay_ms(void) {
  if (runtime.is_healthy || runtime.delay_ms == 0) return RESTART_BASE_MS;
  return sooner(runtime.delay_ms * 2, RESTART_MAX_MS);
}

static void on_fall(uint32_t now_ms) {
  runtime.fall_count++;
  runtime.fell_at_ms = now_ms;
  runtime.delay_ms = next_delay_ms();
  runtime.life = LIFE_WAITING;
  keep_note(module_why());
  const bool is_given_up = slots_fell(module_why());
  console_text("module fell: ");
  console_text(runtime.note);
  if (!is_given_up) {
    console_text("; it starts again in ");
    console_number(runtime.delay_ms);
    console_text(" ms");
  }
  console_end();
  if (is_given_up) {
    runtime.delay_ms = 0;
    choose_module(now_ms);
  }
}

static void on_refusal(void) {
  runtime.life = LIFE_REFUSED;
  keep_note(module_why());
  console_text("module refused: ");
  console_text(runtime.note);
  console_end();
}

static void look_at_module(uint32_t now_ms) {
  if (module_now() == MODULE_FELL) return on_fall(now_ms);
  if (module_now() == MODULE_REFUSED) return on_refusal();
  if (runtime.is_healthy || now_ms - runtime.started_at_ms < HEALTHY_MS) return;
  runtime.is_healthy = true;
  slots_healthy();
}

static void apply_config(uint32_t now_ms) {
  runtime.is_config_changed = false;
  const bool is_given_up = runtime.is_session_given_up;
  runtime.is_session_given_up = false;
  module_stop(now_ms);
  if (is_given_up) {
    journal_open();
    console_say(journal_erase() == JOURNAL_OK ? "the stored session was given up" : journal_error());
  }
  if (runtime.life == LIFE_NONE) return;
  console_say("the configuration has changed: the module restarts");
  runtime.delay_ms = 0;
  start_module(now_ms);
}

/* What was said still goes out: at last the bridge is told that the connection is over. */
static void reset_board(uint32_t now_ms) {
  console_say("restarting");
  module_stop(now_ms);
  runtime.link->tick(now_ms);
  while ((has_output() || !port_serial_is_flushed()) && port_now_ms() - now_ms < RESET_FLUSH_MS) {
    port_watchdog_feed(RUNTIME_WATCHDOG_MS);
    wire_tick(port_now_ms());
    transmit();
    port_sleep(LINE_POLL_MS);
  }
  port_reset();
}

static void live(uint32_t now_ms) {
  if (runtime.is_reset_due && left_ms(runtime.reset_asked_at_ms, RESET_DELAY_MS, now_ms) == 0) reset_board(now_ms);
  if (runtime.is_config_changed) apply_config(now_ms);
  if (runtime.life == LIFE_RUNNING) look_at_module(now_ms);
  if (runtime.life == LIFE_WAITING && left_ms(runtime.fell_at_ms, runtime.delay_ms, now_ms) == 0) {
    console_say("module starts again");
    start_module(now_ms);
  }
}

/* The module is called from here already: the watchdog watches. */
static void start(const link_driver *link) {
  port_watchdog_feed(RUNTIME_WATCHDOG_MS);
  runtime.link = link;
  runtime.booted_at_ms = port_now_ms();
  wire_start(&handlers);
  tunnel_start((uint8_t)port_random());
  say_banner();
  config_open();
  admission_open(RUNTIME_MEMORY_LENGTH_MAX, instance_exports, INSTANCE_NEEDED_COUNT);
  sensor_start(port_random());
  slots_open();
  if (port_why_reset() == PORT_RESET_WATCHDOG) {
    console_say("the module did not return in time, and the watchdog has restarted the board");
    slots_fell("it did not return, and the watchdog ended it");
  }
  choose_module(port_now_ms());
}

/* -- What the management asks -- */

void runtime_info(runtime_status *status) {
  static const runtime_module_state states[] = {
      [LIFE_NONE] = RUNTIME_MODULE_NONE,
      [LIFE_RUNNING] = RUNTIME_MODULE_RUNNING,
      [LIFE_WAITING] = RUNTIME_MODULE_WAITING,
      [LIFE_REFUSED] = RUNTIME_MODULE_REFUSED,
  };
  const uint32_t now_ms = port_now_ms();
  const bool is_there = runtime.life != LIFE_NONE;
  memset(status, 0, sizeof *status);
  status->uptime_ms = now_ms - runtime.booted_at_ms;
  status->link = runtime.link->name;
  status->heap_used = engine_heap_used();
  status->heap_length = RUNTIME_HEAP_LENGTH;
  status->state = states[runtime.life];
  if (is_there) {
    status->slot = runtime.choice.slot;
    memcpy(status->sha256, runtime.sha256, sizeof status->sha256);
    status->length = runtime.choice.facts.image.module_length;
    status->is_connected = module_is_connected();
  }
  if (runtime.life == LIFE_RUNNING) status->up_ms = now_ms - runtime.started_at_ms;
  status->start_count = runtime.start_count;
  status->fall_count = runtime.fall_count;
  status->published_count = module_published_count();
  status->note = runtime.note;
}

void runtime_request_reset(void) {
  runtime.is_reset_due = true;
  runtime.reset_asked_at_ms = port_now_ms();
}

void runtime_config_changed(bool is_id_written) {
  runtime.is_config_changed = true;
  runtime.is_session_given_up = runtime.is_session_given_up || is_id_written;
}

void runtime_say(const char *what) {
  console_say(what);
}
