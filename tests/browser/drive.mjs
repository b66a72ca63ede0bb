// Drives the controller's page in a headless Chromium: drive.mjs URL. What the world is to do is printed as a line, and a line that comes back
// says that it was done. With PAGE_PICTURES=FOLDER it watches for PAGE_SECONDS (90) and leaves pictures there.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const url = process.argv[2];
const pictures = process.env.PAGE_PICTURES;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function world(what) {
  console.log(what);
  await answers.next();
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 1000 }, colorScheme: "light" });
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const errors = [];
page.on("console", (message) => { if (["error", "warning"].includes(message.type())) errors.push(message.text()); });
page.on("pageerror", (error) => errors.push(String(error)));
const foreign = [];
page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) foreign.push(request.url()); });

async function accessible(how) {
  // By the protocol of the developer tools: the page's own policy keeps scripts of others out.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 200)}: ${node.failureSummary}`));
  assert.deepEqual(told, [], `axe, ${how}`);
}

// page.waitForFunction evaluates strings, which the page's policy forbids.
async function until(is, argument) {
  for (const end = Date.now() + 20_000; !(await page.evaluate(is, argument));) {
    assert.ok(Date.now() < end, `never: ${is}`);
    await page.waitForTimeout(100);
  }
}

const names = () => page.locator("article .name").allTextContents();
const fits = async (how) => {
  const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= shown, `${how}: ${wide} px wide, ${shown} px are shown`);
};

// Nothing there yet.
const first = await page.goto(url);
assert.equal(first.status(), 200);
await page.getByText("No pair yet").waitFor();
await accessible("without pairs");

// Three pairs, problems first.
await world("make pairs");
await page.locator("article").nth(2).waitFor();
await page.getByText("orders-2 does not answer").waitFor();
await until(() => document.querySelector("article .name")?.textContent === "orders");
assert.deepEqual(await names(), ["orders", "warehouse", "metrics"]);
await page.locator(".gaps").getByText("kubectl kudupair gap plan -n shop orders-2-4000001.80948 orders", { exact: true }).waitFor();
await page.getByText("unknown how many operations were lost").waitFor();
await page.getByText("4 operations lost").waitFor();
await page.locator("svg.plot").first().getAttribute("aria-label").then((label) => assert.match(label, /orders-1: now .*orders-2: now unknown/));

// The plot lives.
const line = () => page.locator("path.line").first().getAttribute("d");
const before = await line();
await until((old) => document.querySelector("path.line").getAttribute("d") !== old, before);
if (pictures) await page.waitForTimeout(Number(process.env.PAGE_SECONDS ?? 90) * 1000);
const picture = async (name, options = {}) => pictures && page.screenshot({ path: `${pictures}/${name}.png`, ...options });

await picture("light");
await picture("light-full", { fullPage: true });
await accessible("light");
await fits("light");
await page.emulateMedia({ colorScheme: "dark" });
await accessible("dark");
await picture("dark");
await page.setViewportSize({ width: 360, height: 740 });
await page.waitForTimeout(1200);
await accessible("a dark phone");
await fits("a dark phone");
await picture("phone-dark", { fullPage: true });
await page.emulateMedia({ colorScheme: "light" });
await accessible("a phone");
await fits("a phone");
await picture("phone", { fullPage: true });
await page.setViewportSize({ width: 1280, height: 1000 });

// By keyboard alone: to the pairs, close one, open it; focus stays where it is while numbers change, and is seen.
await page.evaluate(() => { window.scrollTo(0, 0); document.activeElement.blur(); });
const focused = () => page.evaluate(() => {
  const element = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  return { what: element.getAttribute("aria-expanded") === null ? element.tagName : "toggle", text: element.textContent, seen: outlineStyle !== "none" && outlineWidth !== "0px" };
});
await page.keyboard.press("Tab");
assert.match((await focused()).text, /Skip to the pairs/);
const walked = [];
for (let step = 0; step < 40; step += 1) {
  await page.keyboard.press("Tab");
  const at = await focused();
  assert.ok(at.seen || at.what === "BODY", `no focus is seen at ${JSON.stringify(at)}`);
  walked.push(at);
  if (at.what === "toggle") break;
}
assert.equal(walked.at(-1).what, "toggle", "the first pair is reached");
assert.match(walked.at(-1).text, /orders/);
await page.keyboard.press("Enter");
await page.locator("article").first().locator(".problems").waitFor({ state: "detached" });
await page.waitForTimeout(2500);
assert.equal((await focused()).what, "toggle", "the focus stays while numbers change");
await page.keyboard.press("Space");
await page.locator("article").first().locator(".problems").waitFor();

// A problem that begins comes first and is told; what others wrote stays text.
await world("lose an active");
await until(() => document.querySelector("article .name").textContent === "warehouse");
assert.match(await page.locator("#news").textContent(), /warehouse: Ready is False: ApprovalNeeded/);
await page.locator("article").first().getByText("<script>document.title = 'broken'</script>").first().waitFor();
assert.equal(await page.title(), "Kudu master pairs");
assert.equal(await page.locator("main script, main img").count(), 0);
await accessible("a pair that is down");
assert.deepEqual(errors, [], "the console");

// The connection is lost, and comes back.
await world("stop the controller");
await page.getByText("The connection to the controller is lost.", { exact: true }).first().waitFor();
await until(() => /What is below is [3-9]\.\d s old/.test(document.getElementById("lost")?.textContent ?? ""));
await accessible("a lost connection");
await picture("lost");
assert.deepEqual(errors.filter((text) => !/net::ERR_/.test(text)), [], "the console of a lost connection");
await world("start the controller");
await page.locator("#lost").waitFor({ state: "detached" });
await page.locator("#connection", { hasText: "live" }).waitFor();
assert.deepEqual(await names(), ["warehouse", "orders", "metrics"]);
assert.deepEqual(foreign, [], "requests to elsewhere");
await browser.close();
console.log("the page is as it should be");
process.exit(0);
