/** The frames that the scripts of the pages draw charts into. */

import { CHARTS } from "./chart-data.ts";
import { type Html, html } from "./html.ts";

/** One figure for each chart over time, found by its number. */
export function timeFigures(): Html {
  return html`<p class="hint" data-no-charts>The charts need JavaScript, which does not run here.</p>
<div class="charts">${CHARTS.map(
    ({ title, note, unit, scale }, index) =>
      html`<figure class="chart" data-chart="${index}">
<figcaption><h3>${title} <span class="unit">${unit}${scale === "logarithmic" ? ", logarithmic" : ""}</span></h3><p>${note}</p></figcaption>
</figure>`,
  )}</div>`;
}

export function curveFigure(): Html {
  return html`<figure class="chart" data-curves>
<figcaption><h3>How slow are the slowest? <span class="unit">ms, logarithmic</span></h3><p>At 90 % stands what one in ten exceeds, at 99 % one in a hundred, at 99.9 % one in a thousand. A curve that rises at its end has a few that are very slow.</p></figcaption>
</figure>`;
}
