/** The public API: an MQTT 3.1.1 client, and what runs modules, opens connections and serves as a broker. */

export {
  ConnectionState,
  Counter,
  Event,
  NEVER_MS,
  RETAIN_FLAG,
  Status,
  WhenFull,
} from "../../firmware/core/abi.ts";
export {
  type BrokerEvent,
  type EmbeddedBroker,
  type EmbeddedBrokerOptions,
  startEmbeddedBroker,
} from "./broker/embedded-broker.ts";
export { ClosedError, PublishError, type PublishFailure } from "./client/client-errors.ts";
export { Driver, type DriverHandlers, type EndReason } from "./client/driver.ts";
export {
  type CloseOptions,
  type ConnectedInfo,
  type DisconnectedInfo,
  type MessagesOptions,
  MqttClient,
  type MqttClientEvents,
  type MqttClientOptions,
  type PublishOptions,
  type SkippedMessage,
  type SubscribeOptions,
} from "./client/mqtt-client.ts";
export { RECONNECT_POLICY, type ReconnectPolicy, reconnectDelayMs } from "./client/reconnect.ts";
export type { GrantedSubscription } from "./client/requests.ts";
export {
  Thermometer,
  type ThermometerCounts,
  type ThermometerEvent,
  type ThermometerOptions,
} from "./client/thermometer.ts";
export {
  type Core,
  type CoreExports,
  loadCore,
  type ModuleName,
  type ReporterExports,
  readModule,
  type ThermometerExports,
} from "./core/core.ts";
export {
  type Capacities,
  type ConnectOptions,
  CoreError,
  type IncomingMessage,
  type OutgoingMessage,
  type Qos,
  Session,
  type Subscription,
} from "./core/session.ts";
export {
  ConnectionError,
  type ConnectionFailure,
  ProtocolError,
  RefusedError,
  UsageError,
} from "./errors.ts";
export { inspectModule, type ModuleInspection } from "./module/inspect-module.ts";
export { type FileStore, type FileStoreOptions, openFileStore } from "./store/file-store.ts";
export { JournalStore } from "./store/journal.ts";
export type { JournalMedium } from "./store/journal-medium.ts";
export { SessionKeeper } from "./store/session-keeper.ts";
export type { SessionStore } from "./store/session-store.ts";
export { StoreError, type StoreFailure } from "./store/store-errors.ts";
export {
  type BrokerScheme,
  type BrokerUrl,
  brokerUrlText,
  parseBrokerUrl,
} from "./transport/broker-url.ts";
export { type MemoryPair, memoryListener, memoryPair } from "./transport/memory.ts";
export { openTransport, type TransportOptions } from "./transport/open-transport.ts";
export type { TlsOptions } from "./transport/tls.ts";
export type { OpenTransport, Transport, TransportHandlers } from "./transport/transport.ts";
export { realWorld, type Timer, type World } from "./world.ts";
