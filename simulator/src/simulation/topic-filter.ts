/** Whether a Topic Filter matches a Topic Name (MQTT 3.1.1, 4.7). */

/** Both are valid. */
export function matchesFilter(filter: string, topic: string): boolean {
  const filterLevels = filter.split("/");
  const topicLevels = topic.split("/");
  const isWild = filterLevels[0] === "#" || filterLevels[0] === "+";
  if (isWild && topic.startsWith("$")) return false; // [MQTT-4.7.2-1]
  for (const [index, level] of filterLevels.entries()) {
    if (level === "#") return true; // the parent level, too: "a/#" matches "a" [MQTT-4.7.1-2]
    if (index >= topicLevels.length) return false;
    if (level !== "+" && level !== topicLevels[index]) return false; // [MQTT-4.7.1-3] [MQTT-4.7.3-4]
  }
  return filterLevels.length === topicLevels.length;
}
