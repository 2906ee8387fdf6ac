/** What the dashboard asks of a run that is under way; a RunView gives it. */

import type { Qos } from "../../../host/src/core/session.ts";

export interface DashboardRun {
  /** Without user name and password. */
  readonly brokerUrl: string;
  /** One byte for each device: 0 off, 1 waiting, 2 connecting, 3 connected. Valid until the next call. */
  deviceStates(): Uint8Array;
  /** The client id of a device. */
  deviceName(index: number): string;
  /**
   * Publishes through the run's own client. Resolves when the broker has taken the message over; rejects with an Error
   * whose text is for people if it cannot be published.
   */
  publish(topic: string, payload: string, options: { qos: Qos; retain: boolean }): Promise<void>;
  /**
   * From now on `onMessage` is told of each message on exactly this topic, be it for the run's own measurements or not.
   * Resolves when the broker has granted the subscription. A topic that the run watches already needs no second
   * subscription: the broker could send its messages twice [MQTT-3.3.5-1].
   */
  watch(topic: string, onMessage: (message: WatchedMessage) => void): Promise<void>;
}

export interface WatchedMessage {
  topic: string;
  payload: Uint8Array;
  qos: Qos;
  /** The broker had it when the subscription came. */
  retain: boolean;
}
