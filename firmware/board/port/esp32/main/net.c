/* The second link: the board's own connection to the broker, over Wi-Fi, with TLS or plain TCP. */

#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/time.h>

#include "esp_crt_bundle.h"
#include "esp_err.h"
#include "esp_event.h"
#include "esp_netif.h"
#include "esp_netif_sntp.h"
#include "esp_tls.h"
#include "esp_wifi.h"
#include "freertos/FreeRTOS.h"
#include "freertos/event_groups.h"
#include "freertos/task.h"
#include "nvs.h"

/* Where the README's commands put what this board is told of the network. */
#define NVS_NAMESPACE "wasmqtt"

#define PORT_DEFAULT 8883u
#define NETWORK_WAIT_MS 30000u
#define CONNECT_TIMEOUT_MS 10000
/* For a TLS handshake. */
#define CONNECTOR_STACK_LENGTH 8192
#define CONNECTOR_PRIORITY 5
#define HAS_ADDRESS 1u

/* The clock of a chip that has not heard of the time begins in 1970. */
#define TIME_KNOWN_FROM_SECONDS 1700000000

/* NET_GIVEN_UP: nobody wants the connection any more that is being made. */
typedef enum { NET_DOWN, NET_OPENING, NET_GIVEN_UP, NET_UP } net_state;

static struct {
  bool is_used;
  /* Moved by the runtime's thread (open, close, lose) and by the connector (what came of an attempt). */
  _Atomic net_state state;
  /* The connector's while OPENING or GIVEN_UP, else the runtime's; so is `ended`. */
  esp_tls_t *connection;
  const char *ended;
  TaskHandle_t connector;
  EventGroupHandle_t events;
  char host[128];
  uint16_t port;
  bool is_plain;
} net = {.ended = ""};

static bool read_settings(wifi_config_t *wifi);
static void start_wifi(wifi_config_t *wifi);
static void on_event(void *unused, esp_event_base_t base, int32_t id, void *data);
static void connector_run(void *unused);
static esp_tls_t *make_connection(void);
static esp_tls_t *refuse(const char *why);
static void lose(const char *why);
static bool is_only_waiting(ssize_t result);

bool net_start(void) {
  static wifi_config_t wifi;
  if (!read_settings(&wifi)) return false;
  net.is_used = true;
  net.events = xEventGroupCreate();
  start_wifi(&wifi);
  const esp_sntp_config_t sntp = ESP_NETIF_SNTP_DEFAULT_CONFIG("pool.ntp.org");
  ESP_ERROR_CHECK(esp_netif_sntp_init(&sntp));
  const BaseType_t made = xTaskCreate(connector_run, "connector", CONNECTOR_STACK_LENGTH, NULL, CONNECTOR_PRIORITY, &net.connector);
  ESP_ERROR_CHECK(made == pdPASS ? ESP_OK : ESP_ERR_NO_MEM);
  return true;
}

bool net_is_used(void) { return net.is_used; }

/* -- The link -- */

static void net_open(uint32_t now_ms) {
  (void)now_ms;
  net_state expected = NET_GIVEN_UP;
  if (atomic_compare_exchange_strong(&net.state, &expected, NET_OPENING)) return;
  expected = NET_DOWN;
  if (atomic_compare_exchange_strong(&net.state, &expected, NET_OPENING)) xTaskNotifyGive(net.connector);
}

static link_state net_link_state(void) {
  switch (atomic_load(&net.state)) {
    case NET_OPENING:
      return LINK_OPENING;
    case NET_UP:
      return LINK_UP;
    default:
      return LINK_DOWN;
  }
}

static const char *net_ended(void) { return net.ended; }

static size_t net_write(const uint8_t *bytes, size_t length) {
  if (atomic_load(&net.state) != NET_UP || length == 0) return 0;
  const ssize_t taken = esp_tls_conn_write(net.connection, bytes, length);
  if (taken > 0) return (size_t)taken;
  if (!is_only_waiting(taken)) lose("the broker does not take what is sent");
  return 0;
}

static size_t net_read(uint8_t *to, size_t capacity) {
  if (atomic_load(&net.state) != NET_UP || capacity == 0) return 0;
  const ssize_t length = esp_tls_conn_read(net.connection, to, capacity);
  if (length > 0) return (size_t)length;
  if (!is_only_waiting(length)) lose(length == 0 ? "the broker closed the connection" : "the connection was lost");
  return 0;
}

static void net_close(link_close_reason reason, uint32_t now_ms) {
  (void)reason;
  (void)now_ms;
  net_state expected = NET_OPENING;
  if (atomic_compare_exchange_strong(&net.state, &expected, NET_GIVEN_UP)) return;
  if (expected == NET_UP) lose("closed");
}

static void net_tick(uint32_t now_ms) { (void)now_ms; }

static uint32_t net_next_deadline_ms(uint32_t now_ms) {
  (void)now_ms;
  return UINT32_MAX;
}

static uint64_t net_unix_ms(uint32_t now_ms) {
  (void)now_ms;
  struct timeval now;
  if (gettimeofday(&now, NULL) != 0 || now.tv_sec < TIME_KNOWN_FROM_SECONDS) return 0;
  return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_usec / 1000u;
}

const link_driver net_link = {
    .name = "net",
    .open = net_open,
    .state = net_link_state,
    .ended = net_ended,
    .write = net_write,
    .read = net_read,
    .close = net_close,
    .tick = net_tick,
    .next_deadline_ms = net_next_deadline_ms,
    .unix_ms = net_unix_ms,
};

/* A plain socket says by errno what a TLS connection says by its result. */
static bool is_only_waiting(ssize_t result) {
  if (result == ESP_TLS_ERR_SSL_WANT_READ || result == ESP_TLS_ERR_SSL_WANT_WRITE) return true;
  return net.is_plain && result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void lose(const char *why) {
  esp_tls_conn_destroy(net.connection);
  net.connection = NULL;
  net.ended = why;
  atomic_store(&net.state, NET_DOWN);
}

/* -- The connector: looking up a name and shaking hands takes longer than the watchdog allows -- */

static void connector_run(void *unused) {
  (void)unused;
  for (;;) {
    ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
    net.connection = make_connection();
    net_state expected = NET_OPENING;
    const net_state next = net.connection == NULL ? NET_DOWN : NET_UP;
    if (atomic_compare_exchange_strong(&net.state, &expected, next)) continue;
    if (net.connection != NULL) {
      lose("given up");
    } else {
      atomic_store(&net.state, NET_DOWN);
    }
  }
}

/* NULL: `net.ended` says why. */
static esp_tls_t *make_connection(void) {
  const EventBits_t bits = xEventGroupWaitBits(net.events, HAS_ADDRESS, pdFALSE, pdTRUE, pdMS_TO_TICKS(NETWORK_WAIT_MS));
  if ((bits & HAS_ADDRESS) == 0) return refuse("there is no Wi-Fi");
  esp_tls_t *connection = esp_tls_init();
  if (connection == NULL) return refuse("there is no memory for a connection");

  const esp_tls_cfg_t config = {
      .crt_bundle_attach = net.is_plain ? NULL : esp_crt_bundle_attach,
      .timeout_ms = CONNECT_TIMEOUT_MS,
      .is_plain_tcp = net.is_plain,
  };
  int socket = -1;
  if (esp_tls_conn_new_sync(net.host, (int)strlen(net.host), net.port, &config, connection) == 1 &&
      esp_tls_get_conn_sockfd(connection, &socket) == ESP_OK && fcntl(socket, F_SETFL, O_NONBLOCK) == 0) {
    return connection;
  }
  esp_tls_conn_destroy(connection);
  return refuse("the broker cannot be reached, or its certificate is not trusted");
}

static esp_tls_t *refuse(const char *why) {
  net.ended = why;
  return NULL;
}

/* -- Wi-Fi -- */

static bool read_settings(wifi_config_t *wifi) {
  nvs_handle_t handle;
  if (nvs_open(NVS_NAMESPACE, NVS_READONLY, &handle) != ESP_OK) return false;
  size_t name_length = sizeof(wifi->sta.ssid);
  size_t password_length = sizeof(wifi->sta.password);
  size_t host_length = sizeof(net.host);
  const bool is_known = nvs_get_str(handle, "ssid", (char *)wifi->sta.ssid, &name_length) == ESP_OK &&
                        nvs_get_str(handle, "host", net.host, &host_length) == ESP_OK;
  uint8_t is_plain = 0;
  net.port = PORT_DEFAULT;
  /* What is not there stays as it is: an open network, TLS on its usual port. */
  (void)nvs_get_str(handle, "password", (char *)wifi->sta.password, &password_length);
  (void)nvs_get_u16(handle, "port", &net.port);
  (void)nvs_get_u8(handle, "plain", &is_plain);
  net.is_plain = is_plain != 0;
  nvs_close(handle);
  return is_known;
}

static void start_wifi(wifi_config_t *wifi) {
  ESP_ERROR_CHECK(esp_netif_init());
  ESP_ERROR_CHECK(esp_event_loop_create_default());
  esp_netif_create_default_wifi_sta();
  const wifi_init_config_t config = WIFI_INIT_CONFIG_DEFAULT();
  ESP_ERROR_CHECK(esp_wifi_init(&config));
  ESP_ERROR_CHECK(esp_event_handler_register(WIFI_EVENT, ESP_EVENT_ANY_ID, on_event, NULL));
  ESP_ERROR_CHECK(esp_event_handler_register(IP_EVENT, IP_EVENT_STA_GOT_IP, on_event, NULL));
  ESP_ERROR_CHECK(esp_wifi_set_mode(WIFI_MODE_STA));
  ESP_ERROR_CHECK(esp_wifi_set_config(WIFI_IF_STA, wifi));
  ESP_ERROR_CHECK(esp_wifi_start());
}

static void on_event(void *unused, esp_event_base_t base, int32_t id, void *data) {
  (void)unused;
  (void)data;
  if (base == IP_EVENT) {
    xEventGroupSetBits(net.events, HAS_ADDRESS);
  } else if (id == WIFI_EVENT_STA_START) {
    esp_wifi_connect();
  } else if (id == WIFI_EVENT_STA_DISCONNECTED) {
    xEventGroupClearBits(net.events, HAS_ADDRESS);
    esp_wifi_connect();
  }
}
