/** What the sensors of one group have in common: their firmware, their room in memory, their names. */

import type { Core, ReporterExports, ThermometerExports } from "../../../host/src/core/core.ts";
import { type Capacities, type ConnectOptions, check } from "../../../host/src/core/session.ts";
import { type Profile, profileOf } from "../profiles/profile.ts";
import { fillPattern, type PatternValues } from "../scenario/pattern.ts";
import type { DeviceGroup, Scenario } from "../scenario/scenario.ts";

/** What a device logs in with. */
export interface Credentials {
  username: string | undefined;
  password: string | undefined;
}

/** Room for what a sensor receives: commands, and the answers of the broker. */
const RECEIVE_LENGTH = 128;

/** What waits besides births and readings: the goodbye, and what the core keeps for its own packets. */
const OVERHEAD_LENGTH = 80;

/** Unfinished incoming commands at QoS 2. */
const INCOMING_COUNT = 8;

/** Two bytes of length each for user name and password. */
const CREDENTIAL_HEADERS_LENGTH = 4;

const NOBODY: Credentials = { username: undefined, password: undefined };

/** What a module may export besides. */
type ApplicationExports = ThermometerExports & Partial<ReporterExports>;

export class SensorKind {
  readonly group: DeviceGroup;
  readonly core: Core<ApplicationExports>;
  readonly profile: Profile;
  /** Each reading is accounted for, which it can only be if it says its number. */
  readonly isAudited: boolean;
  /** Somebody will ask when a reading was published: for its acknowledgement, or when it arrives. */
  readonly isTimed: boolean;
  /** The devices have no interval, and publish as fast as they can. */
  readonly isFlooding: boolean;
  readonly connectOptions: ConnectOptions;
  readonly #scenario: Scenario;
  readonly #password: string | undefined;
  readonly #capacities = new Map<number, Capacities>();
  /** Where the profile's block lies in the module's memory. */
  readonly #blockAt: number;

  /** `password` is the text of `passwordFile`. */
  constructor(
    group: DeviceGroup,
    core: Core<ApplicationExports>,
    scenario: Scenario,
    password: string | undefined,
  ) {
    this.group = group;
    this.core = core;
    this.#scenario = scenario;
    this.#password = password;
    this.profile = profileOf(group.profile);
    this.isAudited = isAudited(scenario, group);
    this.isFlooding = group.publish.intervalMs === 0;
    this.isTimed = this.isAudited || group.publish.qos > 0;
    this.#blockAt = this.#placeBlock();
    const { keepAliveSeconds, responseTimeoutMs } = scenario.broker;
    const { cleanSession } = group;
    this.connectOptions = { cleanSession, keepAliveSeconds, responseTimeoutMs };
  }

  /** Tells a record of a module with profiles which one is its own. Call it before the client id is set. */
  setProfile(at: number): void {
    const { block } = this.profile;
    if (block === undefined) return;
    const { setProfile } = this.core.exports;
    if (setProfile !== undefined) check("setProfile", setProfile(at, this.#blockAt, block.length));
  }

  /** The message whose acknowledgement is that of the birth, if the module tells. */
  birthPacketId(at: number): number | undefined {
    return this.core.exports.birthPacketId?.(at);
  }

  clientId(number: number): string {
    return fillPattern(this.group.id, { number });
  }

  credentials(number: number, clientId: string): Credentials {
    return credentialsOf(this.#scenario, this.#password, { number, clientId });
  }

  /** As much room for client id, Will, credentials and waiting readings as they need. A fleet of 10,000 has to fit. */
  capacities(clientId: string, { username = "", password = "" }: Credentials): Capacities {
    const bare = this.#capacitiesFor(Buffer.byteLength(clientId));
    if (username === "" && password === "") return bare;
    const length =
      Buffer.byteLength(username) + Buffer.byteLength(password) + CREDENTIAL_HEADERS_LENGTH;
    return { ...bare, identity: bare.identity + length };
  }

  /** Readings whose times are remembered for each device, if anybody will ask: twice as many as the outbox is meant for. */
  get placeCount(): number {
    return this.isTimed ? 2 * this.group.publish.outboxCount : 0;
  }

  /** Without credentials. One object for all client ids of a length: a profile takes its time to measure itself. */
  #capacitiesFor(idLength: number): Capacities {
    let capacities = this.#capacities.get(idLength);
    if (capacities === undefined) {
      const { profile } = this;
      const { outboxCount } = this.group.publish;
      const readingsLength = outboxCount * profile.readingLength(idLength);
      capacities = {
        receive: RECEIVE_LENGTH + idLength,
        transmit: OVERHEAD_LENGTH + profile.birthsLength(idLength) + readingsLength,
        identity: profile.identityLength(idLength),
        incomingCount: INCOMING_COUNT,
      };
      this.#capacities.set(idLength, capacities);
    }
    return capacities;
  }

  #placeBlock(): number {
    const { block } = this.profile;
    if (block === undefined) return 0;
    const at = this.core.arena.take(block.length);
    this.core.memory.write(at, block);
    return at;
  }
}

/** Of messages without a number nobody can say which are missing. */
export function isAudited({ observe }: Scenario, { profile }: DeviceGroup): boolean {
  return observe.audit && profileOf(profile).hasSequence;
}

/** What the scenario's patterns are for one device. */
export function credentialsOf(
  { broker: { username, password } }: Scenario,
  filePassword: string | undefined,
  values: PatternValues,
): Credentials {
  if (username === undefined) return NOBODY;
  return {
    username: fillPattern(username, values),
    password: filePassword ?? (password === undefined ? undefined : fillPattern(password, values)),
  };
}
