/** Which sessions have subscribed to a topic: a tree of filter levels, so that a thousand devices cost no more than ten. */

import type { BrokerSession } from "./broker-session.ts";

interface Node {
  readonly children: Map<string, Node>;
  readonly sessions: Set<BrokerSession>;
}

export class SubscriptionTree {
  readonly #root: Node = newNode();

  add(filter: string, session: BrokerSession): void {
    let node = this.#root;
    for (const level of filter.split("/")) {
      let child = node.children.get(level);
      if (child === undefined) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    node.sessions.add(session);
  }

  remove(filter: string, session: BrokerSession): void {
    let node: Node | undefined = this.#root;
    for (const level of filter.split("/")) node = node?.children.get(level);
    node?.sessions.delete(session);
  }

  /** Each session once, in the order of a walk through the tree (4.7.1). */
  match(topic: string): Set<BrokerSession> {
    const found = new Set<BrokerSession>();
    const levels = topic.split("/");
    collect(this.#root, levels, 0, topic.startsWith("$"), found);
    return found;
  }
}

function collect(
  node: Node,
  levels: readonly string[],
  depth: number,
  isHidden: boolean,
  found: Set<BrokerSession>,
): void {
  const seesWildcards = !(isHidden && depth === 0); // [MQTT-4.7.2-1]
  if (seesWildcards) addAll(node.children.get("#"), found); // the parent level, too [MQTT-4.7.1-2]
  const level = levels[depth];
  if (level === undefined) {
    addAll(node, found);
    return;
  }
  const named = node.children.get(level);
  if (named !== undefined) collect(named, levels, depth + 1, isHidden, found);
  const any = seesWildcards ? node.children.get("+") : undefined; // [MQTT-4.7.1-3]
  if (any !== undefined) collect(any, levels, depth + 1, isHidden, found);
}

function addAll(node: Node | undefined, found: Set<BrokerSession>): void {
  for (const session of node?.sessions ?? []) found.add(session);
}

function newNode(): Node {
  return { children: new Map(), sessions: new Set() };
}
