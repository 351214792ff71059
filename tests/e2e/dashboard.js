// The dashboard, walked through in headless Chromium.
// Arguments: the folder that has node_modules, Chromium, the page's URL, the IMAP port, the admin token.
const [modules, executablePath, url, imap, token] = process.argv.slice(2);
const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const need = (name) => require(require.resolve(name, { paths: [modules] }));
const { chromium } = need('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js', { paths: [modules] }), 'utf8');
const pictures = process.env.GATEPOST_SCREENSHOTS;

/** A mail client that logs in and stays; `heard` is what it was told. */
async function client(user, password = 'demo') {
  const socket = net.connect(Number(imap), '127.0.0.1');
  const state = { socket, heard: '', closed: false };
  socket.setEncoding('latin1');
  socket.on('data', (text) => { state.heard += text; });
  socket.on('close', () => { state.closed = true; });
  socket.on('error', () => {});
  await until(() => state.heard.includes('* OK'), 'a greeting');
  const quoted = (text) => `"${text.replace(/["\\]/g, '\\$&')}"`;
  socket.write(`a LOGIN ${quoted(user)} ${quoted(password)}\r\n`);
  await until(() => /^a (OK|NO)/m.test(state.heard), `an answer for ${user}`);
  return state;
}

async function until(what, words) {
  for (let n = 0; n < 1200; n += 1) {
    if (await what()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited a minute in vain for ${words}`);
}

/** A page that fails the test when it asks others, breaks its policy or throws. */
async function open(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.troubles = [];
  page.on('pageerror', (error) => page.troubles.push(`threw ${error}`));
  page.on('console', (message) => {
    const text = message.text();
    // Refusals are part of the walk.
    if (message.type() === 'error' && !/status of (401|404|405)/.test(text)) page.troubles.push(text);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(url)) page.troubles.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

async function enter(page) {
  await page.locator('#token').fill(token);
  await page.keyboard.press('Enter');
  await page.locator('#sessions-rows tr').first().waitFor();
}

async function accessible(page, words) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map((v) => `${v.id}: ${v.help}\n  ${v.nodes.slice(0, 3).map((n) => `${n.html} ${n.any.map((a) => a.message).join('; ')}`).join('\n  ')}`);
  assert.deepEqual(told, [], `axe on ${words}`);
}

async function picture(page, name, fullPage = true) {
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage });
}

async function noSideways(page, words) {
  const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= room, `${words}: ${wide} pixels in ${room}`);
}

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
  });
  const odd = '<img src=x onerror=alert(1)>@mail.example';
  const names = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank', 'grace', 'heidi', 'ivan', 'judy', 'mallory', 'niaj', 'olivia', 'peggy', 'rupert', 'sybil', 'trent', 'victor', 'walter', 'wendy'];
  const clients = {};
  for (const name of names) clients[name] = await client(`${name}@mail.example`);
  clients.alice2 = await client('alice@mail.example');
  clients.odd = await client(odd);
  (await client('bob@mail.example', 'wrong')).socket.destroy();
  (await client('x@legacy.example')).socket.destroy();

  // The token: asked for, a wrong one refused, the right one taken; nothing is shown before.
  const page = await open(browser, { colorScheme: 'light', viewport: { width: 1440, height: 900 } });
  await page.locator('#token-dialog[open]').waitFor();
  assert.equal(await page.locator('#sessions-rows tr').count(), 0);
  await accessible(page, 'the question for the token');
  await picture(page, 'token', false);
  await page.locator('#token').fill('a wrong one');
  await page.keyboard.press('Enter');
  await page.getByText('does not take this token').waitFor();
  await enter(page);
  assert.equal(await page.locator('#sessions-rows tr').count(), names.length + 2);
  assert.equal(await page.locator('#readiness').textContent(), 'ready');

  // What a client typed is text, nothing else.
  assert.equal(await page.locator('#sessions-rows img').count(), 0);
  assert.equal(await page.getByText(odd, { exact: true }).count(), 1);

  // Hosts, results, certificates, settings.
  assert.equal(await page.locator('#hosts-rows tr').count(), 4);
  assert.match(await page.locator('#hosts-rows').textContent(), /store-1.*store-2.*store-3/);
  assert.match(await page.locator('#results-rows').textContent(), /logged in2\d.*wrong name or password1/);
  assert.match(await page.locator('#certificates-rows').textContent(), /\d{4}-\d\d-\d\d.*(day|ended)/);
  assert.match(await page.locator('#settings-list').textContent(), /revision 1, in use since/);
  // Logins while it is looked at move the plots.
  const more = [];
  const busy = setInterval(() => more.push(client(`n${more.length}@mail.example`).then((c) => c.socket.end('b LOGOUT\r\n')).catch(() => {})), 150);
  const label = (name) => page.locator(`#plot-${name} svg`).getAttribute('aria-label');
  await until(async () => /ok [1-9]|ok 0\.[0-9]*[1-9]/.test(await label('logins')), 'logins in the plot');
  await until(async () => /p95 [\d.]+ (µs|ms|s)/.test(await label('latency')), 'times in the plot');
  assert.match(await label('sessions'), /imap 2\d/);
  await until(async () => (await page.locator('#hosts-rows td[data-label="Logins/s"]').allTextContents()).some((text) => Number(text) > 0), 'logins of a host');
  if (pictures) await page.waitForTimeout(20_000);
  clearInterval(busy);
  await picture(page, 'light');
  await accessible(page, 'the page in light');
  await noSideways(page, 'light');
  await Promise.all(more);
  await until(async () => (await page.locator('#sessions-rows tr').count()) === names.length + 2, 'the short sessions to go');

  // Order.
  const users = () => page.locator('#sessions-rows th').allTextContents();
  await page.getByRole('button', { name: 'User' }).click();
  const up = await users();
  assert.deepEqual(up, [...up].sort((a, b) => a.localeCompare(b)));
  assert.equal(await page.locator('#sessions-head th').first().getAttribute('aria-sort'), 'ascending');
  await page.getByRole('button', { name: 'User' }).click();
  assert.deepEqual(await users(), up.reverse());

  // By keyboard alone: search, the button, the question, the goodbye.
  await page.keyboard.press('/');
  await page.keyboard.type('alice');
  await until(async () => (await page.locator('#sessions-rows tr').count()) === 2, 'two rows');
  assert.equal(await page.locator('#sessions-sum').textContent(), `2 of ${names.length + 2} sessions`);
  const focused = () => page.evaluate(() => {
    const at = document.activeElement;
    const style = getComputedStyle(at);
    return { name: at.getAttribute('aria-label') ?? at.textContent, tag: at.tagName, outline: style.outlineStyle };
  });
  for (let n = 0; n < 40 && !/^Kick alice/.test((await focused()).name); n += 1) {
    await page.keyboard.press('Tab');
    const { tag, outline, name } = await focused();
    assert.ok(tag === 'BODY' || outline !== 'none', `the focus cannot be seen on ${tag} ${name}`);
  }
  assert.match((await focused()).name, /^Kick alice@mail.example, session /);
  await page.waitForTimeout(4500); // Two readings: the focus stays where it is.
  assert.match((await focused()).name, /^Kick alice@mail.example, session /);
  await page.keyboard.press('Enter');
  await page.locator('#ask-dialog[open]').waitFor();
  await accessible(page, 'the question before a kick');
  await picture(page, 'kick', false);
  await page.keyboard.press('Escape');
  await page.locator('#ask-dialog[open]').waitFor({ state: 'detached' });
  assert.match((await focused()).name, /^Kick alice/);
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.equal((await focused()).name, 'Kick');
  await page.keyboard.press('Enter');
  await page.getByText('The session of alice@mail.example is ended.').waitFor();
  await until(async () => (await page.locator('#sessions-rows tr').count()) === 1, 'one row');
  await until(() => [clients.alice, clients.alice2].some((c) => c.heard.includes('* BYE') && c.closed), 'a goodbye');
  await page.locator('#search').fill('mail.example -nobody');
  await page.getByText('No session fits the search.').waitFor();
  await page.locator('#search').fill('');

  // Drain, with and without a time; what is sent is the API's form.
  const sent = [];
  await page.route('**/api/v1/backends/**', (route) => {
    sent.push([new URL(route.request().url()).pathname, route.request().postDataJSON(), route.request().headers().authorization]);
    route.fulfill({ status: 200, contentType: 'application/json', body: '{}' });
  });
  await page.getByRole('button', { name: 'Drain cluster/store-2' }).click();
  await accessible(page, 'the question before a drain');
  await picture(page, 'drain', false);
  await page.locator('#ask-select').selectOption('5m');
  await page.locator('#ask-yes').click();
  await page.getByText('cluster/store-2 is drained.').waitFor();
  assert.deepEqual(sent, [['/api/v1/backends/cluster/hosts/store-2', { state: 'drain', after: '5m' }, `Bearer ${token}`]]);

  // A gateway that does not answer is said, once, and so is that it is back.
  await page.route('**/metrics', (route) => route.abort());
  await page.locator('#trouble:visible').waitFor();
  assert.equal(await page.locator('#readiness').textContent(), 'no answer');
  await page.unroute('**/metrics');
  await page.locator('#trouble').waitFor({ state: 'hidden' });
  assert.deepEqual(page.troubles.filter((text) => !/ERR_FAILED/.test(text)), []);

  // What is counted, in the page's own words.
  await page.evaluate(async () => {
    const is = (a, b) => {
      if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`);
    };
    const { parse, quantile, buckets, sum } = await import('./dashboard/metrics.js');
    const words = await import('./dashboard/words.js');
    const read = parse('# HELP a x\na_bucket{le="0.1"} 5\na_bucket{le="0.2"} 15\na_bucket{le="+Inf"} 20\nb{x="q\\"\\\\\\n",y="2"} 3\nb{x="z"} 4\nc 1.5e3\n');
    is(read.get('b')[0].labels, { x: 'q"\\\n', y: '2' });
    is([sum(read, 'b'), sum(read, 'b', (l) => l.x === 'z'), sum(read, 'none'), sum(read, 'c')], [7, 4, 0, 1500]);
    const none = new Map();
    const all = buckets(read, 'a');
    is([quantile(0.25, none, all), quantile(0.5, none, all), quantile(0.99, none, all), quantile(0.5, all, all)], [0.1, 0.15000000000000002, 0.2, null]);
    is([words.octets(0), words.octets(999), words.octets(1536), words.octets(52428800)], ['0 B', '999 B', '1.5 KiB', '50 MiB']);
    is([words.seconds(0.00042), words.seconds(0.0042), words.seconds(0.42), words.seconds(4.2), words.seconds(null)], ['420 µs', '4.2 ms', '420 ms', '4.20 s', '–']);
    is([words.span(5), words.span(65), words.span(7260), words.span(90000)], ['5 s', '1 min', '2 h 1 min', '1 d 1 h']);
    is([words.count(9999), words.count(12345), words.count(1234567), words.rate(0.04), words.rate(3.14)], ['9\u202f999', '12.3 k', '1.2 M', '0.04', '3.1']);
  });
  await page.context().close();

  // Dark, and a phone of either kind.
  for (const [name, options] of [
    ['dark', { colorScheme: 'dark', viewport: { width: 1440, height: 900 } }],
    ['tablet', { colorScheme: 'light', viewport: { width: 900, height: 1100 } }],
    ['phone', { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
    ['phone-dark', { colorScheme: 'dark', viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true }],
  ]) {
    const other = await open(browser, options);
    await enter(other);
    await until(async () => /imap 2\d/.test(await other.locator('#plot-sessions svg').getAttribute('aria-label')), 'a plot');
    if (pictures) await other.waitForTimeout(6000);
    await accessible(other, name);
    await noSideways(other, name);
    await picture(other, name);
    assert.deepEqual(other.troubles, [], name);
    await other.context().close();
  }

  // Without scripts there is a word about it.
  const still = await open(browser, { javaScriptEnabled: false });
  assert.match(await still.locator('noscript, body').last().textContent(), /gatepost sessions/);
  await still.context().close();

  await browser.close();
  for (const { socket } of Object.values(clients)) socket.destroy();
  console.log('walked');
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
