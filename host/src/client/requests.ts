/** SUBSCRIBE and UNSUBSCRIBE: from the call until the answer, over as many connections as it takes. */

import { ConnectionState, Status, SUBSCRIBE_FAILURE } from "../../../firmware/core/abi.ts";
import { CoreError, type Qos, type Session, type Subscription } from "../core/session.ts";
import { UsageError } from "../errors.ts";
import { ClosedError } from "./client-errors.ts";
import { Deferred } from "./deferred.ts";

/** What the broker said to one filter of a `subscribe`. */
export interface GrantedSubscription {
  topicFilter: string;
  /** May be lower than requested. Undefined: the broker refused this filter. */
  grantedQos: Qos | undefined;
}

export interface RequestsHandlers {
  /** Something was queued: send it soon. */
  queued(): void;
  /** The broker has forgotten the session and refuses now what it granted before. */
  unsubscribed(topicFilter: string): void;
}

type Request =
  | {
      readonly kind: "subscribe";
      readonly subscriptions: readonly Subscription[];
      /** Undefined for a subscription that is only renewed. */
      readonly deferred: Deferred<GrantedSubscription[]> | undefined;
      /** 0 until it was queued. */
      packetId: number;
    }
  | {
      readonly kind: "unsubscribe";
      readonly topicFilters: readonly string[];
      readonly deferred: Deferred<void>;
      packetId: number;
    };

/** A request is queued on a connection; if no answer comes on that one, it is made again on the next. */
export class Requests {
  readonly #handlers: RequestsHandlers;
  readonly #waitingMax: number;
  #session: Session | undefined;
  #isDurable = false;
  readonly #world: { nowMs(): number };
  /** In the order of the calls. */
  #requests: Request[] = [];
  /** What is subscribed to, with the requested QoS: the broker may forget it. */
  readonly #active = new Map<string, Qos>();

  constructor(waitingMax: number, world: { nowMs(): number }, handlers: RequestsHandlers) {
    this.#waitingMax = waitingMax;
    this.#world = world;
    this.#handlers = handlers;
  }

  /** A durable session makes a request again by itself, once it has been queued. */
  begin(session: Session, isDurable: boolean): void {
    this.#session = session;
    this.#isDurable = isDurable;
  }

  /** True if nothing waits for an answer. */
  get isEmpty(): boolean {
    return this.#requests.length === 0;
  }

  subscribe(subscriptions: readonly Subscription[]): Promise<GrantedSubscription[]> {
    if (subscriptions.length === 0) return Promise.resolve([]);
    const deferred = new Deferred<GrantedSubscription[]>();
    this.#add({ kind: "subscribe", subscriptions, deferred, packetId: 0 }, deferred);
    return deferred.promise;
  }

  unsubscribe(topicFilters: readonly string[]): Promise<void> {
    if (topicFilters.length === 0) return Promise.resolve();
    const deferred = new Deferred<void>();
    this.#add({ kind: "unsubscribe", topicFilters, deferred, packetId: 0 }, deferred);
    return deferred.promise;
  }

  /** The connection stands. Without Session Present the broker knows of no subscription. */
  connected(sessionPresent: boolean): void {
    if (!sessionPresent) this.#renew();
    this.send();
  }

  connectionLost(): void {
    this.#requests = this.#requests.filter((request) => request.deferred !== undefined);
    if (this.#isDurable) return;
    for (const request of this.#requests) request.packetId = 0;
  }

  /** Sends what waits, as far as there is room. */
  send(): void {
    const session = this.#session;
    if (session?.state !== ConnectionState.Connected) return;
    for (const request of [...this.#requests]) {
      if (request.packetId === 0 && !this.#sends(session, request)) return;
    }
  }

  /** SUBACK, with a code for each filter. */
  subscribed(packetId: number, codes: Uint8Array): void {
    const request = this.#take(packetId);
    if (request?.kind !== "subscribe") return;
    const granted = request.subscriptions.map(({ topicFilter }, index) => {
      const code = codes[index] ?? SUBSCRIBE_FAILURE;
      return { topicFilter, grantedQos: code === SUBSCRIBE_FAILURE ? undefined : (code as Qos) };
    });
    for (const [index, { topicFilter, qos }] of request.subscriptions.entries()) {
      const isGranted = granted[index]?.grantedQos !== undefined;
      if (isGranted) this.#active.set(topicFilter, qos);
      else if (request.deferred === undefined) this.#lost(topicFilter);
    }
    request.deferred?.resolve(granted);
  }

  /** UNSUBACK. */
  unsubscribed(packetId: number): void {
    const request = this.#take(packetId);
    if (request?.kind !== "unsubscribe") return;
    for (const topicFilter of request.topicFilters) this.#active.delete(topicFilter);
    request.deferred.resolve();
  }

  /** Nothing will be answered any more. */
  end(): void {
    const requests = this.#requests;
    this.#requests = [];
    for (const { kind, deferred } of requests) {
      deferred?.fail(new ClosedError(`The client was closed before the broker answered ${kind}`));
    }
  }

  #add(request: Request, deferred: Pick<Deferred<never>, "reject">): void {
    if (this.#requests.length >= this.#waitingMax) {
      deferred.reject(
        new UsageError(
          `${this.#requests.length} requests wait for the broker's answer already`,
          "Give many filters to one subscribe(), or await each",
        ),
      );
      return;
    }
    this.#requests.push(request);
    this.send();
  }

  /** One filter a packet: none of them is larger than the one in which it was granted. */
  #renew(): void {
    const renewals: Request[] = [...this.#active].map(([topicFilter, qos]) => ({
      kind: "subscribe",
      subscriptions: [{ topicFilter, qos }],
      deferred: undefined,
      packetId: 0,
    }));
    this.#requests.unshift(...renewals);
  }

  /** False if there is no room now. */
  #sends(session: Session, request: Request): boolean {
    const nowMs = this.#world.nowMs();
    try {
      request.packetId =
        request.kind === "subscribe"
          ? session.subscribe([...request.subscriptions], nowMs)
          : session.unsubscribe([...request.topicFilters], nowMs);
    } catch (error) {
      if (error instanceof CoreError && error.status === Status.BufferFull) return false;
      this.#remove(request);
      request.deferred?.reject(error as Error);
      return true;
    }
    this.#handlers.queued();
    return true;
  }

  #take(packetId: number): Request | undefined {
    const request = this.#requests.find((candidate) => candidate.packetId === packetId);
    if (request !== undefined) this.#remove(request);
    return request;
  }

  #remove(request: Request): void {
    this.#requests.splice(this.#requests.indexOf(request), 1);
  }

  #lost(topicFilter: string): void {
    this.#active.delete(topicFilter);
    this.#handlers.unsubscribed(topicFilter);
  }
}
