/** Clients whose session survives: with a journal in the hands of the test, and made anew from what is in it. */

import { Status } from "../../firmware/core/abi.ts";
import { Core, type CoreClient, type Exchange, type RecordSpec } from "./core-client.ts";
import { connack } from "./server-packets.ts";

const JOURNAL_CAPACITY = 512;

/** A client "t" in a record of its own. Nothing is stored so far. */
export function clientWithJournal(spec: Partial<RecordSpec> = {}): CoreClient {
  const client = new Core().client({ journalCapacity: JOURNAL_CAPACITY, ...spec });
  client.setClientId("t");
  return client;
}

/** Connected to a server that keeps the session; its journal begins behind that and is stored by the test. */
export function connectedWithJournal(spec: Partial<RecordSpec> = {}): CoreClient {
  const client = clientWithJournal(spec);
  client.beginJournal();
  client.establish({ cleanSession: false });
  client.beginJournal(2);
  client.journal = undefined;
  return client;
}

/** What a loss of power leaves: a client made from these batches. Its journal goes on behind them. */
export function restoredFrom(batches: Uint8Array[], spec: Partial<RecordSpec> = {}): CoreClient {
  const client = clientWithJournal(spec);
  for (const batch of batches) {
    const status = client.restore(batch);
    if (status !== Status.Ok) throw new Error(`restore: ${Status[status]}`);
  }
  client.journal = [...batches];
  return client;
}

/** Connects on a new connection; gives the events of CONNACK and what is sent behind CONNECT. */
export function reconnect(client: CoreClient, sessionPresent = true): Exchange {
  client.connectionLost();
  const status = client.connect({ cleanSession: false });
  if (status !== Status.Ok) throw new Error(`connect: ${Status[status]}`);
  client.drain();
  return client.exchange(connack(sessionPresent));
}
