// A session of npm's imapflow: log in, read mail, log out.
// Arguments: the folder that has node_modules, port, tls or starttls, CA file, user, password, method; TOKEN for
// one: the password is a token.
const [modules, port, mode, ca, user, pass, loginMethod] = process.argv.slice(2);
const { ImapFlow } = require(require.resolve('imapflow', { paths: [modules] }));
const read = async () => {
  const client = new ImapFlow({
    host: 'localhost',
    port: Number(port),
    secure: mode === 'tls',
    doSTARTTLS: mode === 'starttls' ? true : undefined,
    tls: { ca: require('fs').readFileSync(ca) },
    auth: loginMethod === 'TOKEN' ? { user, accessToken: pass } : { user, pass, loginMethod },
    logger: false,
  });
  await client.connect();
  const lock = await client.getMailboxLock('INBOX');
  let count = 0;
  for await (const message of client.fetch('1:*', { source: true, envelope: true })) {
    if (!message.source.includes('Subject:')) throw new Error('a message without its source');
    count += 1;
  }
  lock.release();
  await client.logout();
  if (count !== 5) throw new Error(`expected 5 messages, got ${count}`);
  console.log('read', count);
};
read().catch((error) => { console.error(error); process.exit(1); });
