// sigstore-js as a program, for the modules in the folder $1:
//   verify TRUSTED-ROOT IDENTITY ISSUER BUNDLE FILE
//   sign FULCIO REKOR VERSION TSA TOKEN-FILE FILE BUNDLE      a plain message; VERSION is that of the log REKOR
//   attest FULCIO REKOR VERSION TSA TOKEN-FILE FILE BUNDLE    a statement as cosign makes of what it signs
const fs = require('fs');
const crypto = require('crypto');
const path = require('path');
const { createRequire } = require('module');

const [folder, verb, ...words] = process.argv.slice(2);
const load = createRequire(path.join(fs.realpathSync(folder), 'program.cjs'));

function verify(root, identity, issuer, bundleFile, file) {
  const { bundleFromJSON } = load('@sigstore/bundle');
  const { TrustedRoot } = load('@sigstore/protobuf-specs');
  const { toSignedEntity, toTrustMaterial, Verifier } = load('@sigstore/verify');
  const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(bundleFile, 'utf8')));
  const bytes = fs.readFileSync(file);
  const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(fs.readFileSync(root, 'utf8')))), {});
  verifier.verify(toSignedEntity(bundle, bytes), {
    subjectAlternativeName: `^${identity.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}$`,
    extensions: { issuer },
  });
  if (bundle.content.$case === 'dsseEnvelope') {
    // It proves that the statement was signed; whether the file is what it is about is the caller's business.
    const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString());
    const digest = crypto.createHash('sha256').update(bytes).digest('hex');
    if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) throw new Error('not a subject');
  }
  console.log('OK');
}

async function sign(kind, fulcio, rekor, version, tsa, tokenFile, file, bundleFile) {
  const { bundleToJSON } = load('@sigstore/bundle');
  const { DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = load('@sigstore/sign');
  const token = fs.readFileSync(tokenFile, 'utf8').trim();
  const options = {
    signer: new FulcioSigner({ fulcioBaseURL: fulcio, identityProvider: { getToken: async () => token } }),
    witnesses: [
      new RekorWitness({ rekorBaseURL: rekor, majorApiVersion: Number(version), timeout: 20000 }),
      new TSAWitness({ tsaBaseURL: tsa }),
    ],
  };
  const data = fs.readFileSync(file);
  const bundle =
    kind === 'sign'
      ? await new MessageSignatureBundleBuilder(options).create({ data })
      : await new DSSEBundleBuilder(options).create({ data: statement(data, file), type: 'application/vnd.in-toto+json' });
  fs.writeFileSync(bundleFile, JSON.stringify(bundleToJSON(bundle)));
}

function statement(bytes, file) {
  const sha256 = crypto.createHash('sha256').update(bytes).digest('hex');
  return Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: path.basename(file), digest: { sha256 } }],
      predicateType: 'https://sigstore.dev/cosign/sign/v1',
      predicate: {},
    }),
  );
}

(async () => (verb === 'verify' ? verify(...words) : sign(verb, ...words)))().catch((error) => {
  console.error(`error: ${error.code ?? error.name}: ${error.message} ${error.cause?.message ?? ''}`);
  process.exit(1);
});
