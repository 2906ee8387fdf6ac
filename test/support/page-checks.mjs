/**
 * What the tests ask of a page, inside it: Playwright puts this file into every page that it opens, and the tests call
 * `pageChecks`.
 */

globalThis.pageChecks = { drawnCount, overflow, poorContrast };

/** How many canvases have something on them, in more than a few colours. */
function drawnCount() {
  return [...document.querySelectorAll("canvas")].filter((canvas) => colourCount(canvas) > 3)
    .length;
}

function colourCount(canvas) {
  if (canvas.width === 0 || canvas.height === 0 || canvas.clientWidth === 0) return 0;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}

/** By how many pixels the page is wider than its window. */
function overflow() {
  return document.documentElement.scrollWidth - innerWidth;
}

/** Texts whose contrast is less than WCAG 2.2 AA asks for (1.4.3): 4.5, or 3 where they are large. */
function poorContrast() {
  return [...document.querySelectorAll("body *")]
    .filter((element) => hasText(element) && element.checkVisibility())
    .filter((element) => !element.closest("script, style, .bar, .unseen, .skip"))
    .map((element) => ({ element, contrast: contrastOf(element) }))
    .filter(({ element, contrast }) => contrast < (isLarge(element) ? 3 : 4.5))
    .map(({ element, contrast }) => `${element.outerHTML.slice(0, 80)}: ${contrast.toFixed(2)}`);
}

function hasText(element) {
  return [...element.childNodes].some(
    ({ nodeType, textContent }) => nodeType === Node.TEXT_NODE && textContent.trim() !== "",
  );
}

function isLarge(element) {
  const { fontSize, fontWeight } = getComputedStyle(element);
  const size = Number.parseFloat(fontSize);
  return size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
}

function contrastOf(element) {
  const text = luminance(getComputedStyle(element).color);
  const ground = luminance(groundOf(element));
  return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
}

function luminance(colour) {
  const [red, green, blue] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function groundOf(element) {
  if (element === null) return "rgb(255, 255, 255)";
  const { backgroundColor } = getComputedStyle(element);
  const [, , , alpha = 1] = channels(backgroundColor);
  return alpha === 0 ? groundOf(element.parentElement) : backgroundColor;
}

function channels(colour) {
  return (colour.match(/[\d.]+/gu) ?? []).map(Number);
}
