/** A scenario as text that may be shown to anybody: for results, reports and the page of a run. */

import { stringify } from "yaml";
import { type BrokerUrl, brokerUrlText } from "../../../host/src/transport/broker-url.ts";
import { copyOf, isMapping, valueAt } from "./plain-data.ts";

/** Stands where a password was. */
const PASSWORD_SHOWN = "(not shown)";

/**
 * `document`, the data of a valid scenario file, as YAML. `url` is its `broker.url` as it was read: printed again it has
 * neither a password nor the query of a WebSocket URL, which may hold a token.
 */
export function scenarioText(document: unknown, url: BrokerUrl | undefined): string {
  const shown = copyOf(document);
  const broker = valueAt(shown, ["broker"]);
  if (isMapping(broker)) {
    if (broker["password"] !== undefined) broker["password"] = PASSWORD_SHOWN;
    if (url !== undefined) broker["url"] = brokerUrlText(url);
  }
  // Folded lines are hard to compare.
  return stringify(shown, { lineWidth: 0 });
}
