// sigstore-js as a program, for the modules in the folder $1:
//   verify TRUSTED-ROOT IDENTITY ISSUER BUNDLE FILE
//   sign FULCIO REKOR TSA TOKEN-FILE FILE BUNDLE          a plain message; REKOR is a log of version 1
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

async function sign(fulcio, rekor, tsa, tokenFile, file, bundleFile) {
  const { bundleToJSON } = load('@sigstore/bundle');
  const { FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = load('@sigstore/sign');
  const token = fs.readFileSync(tokenFile, 'utf8').trim();
  const builder = new MessageSignatureBundleBuilder({
    signer: new FulcioSigner({ fulcioBaseURL: fulcio, identityProvider: { getToken: async () => token } }),
    witnesses: [new RekorWitness({ rekorBaseURL: rekor, entryType: 'hashedrekord' }), new TSAWitness({ tsaBaseURL: tsa })],
  });
  const bundle = await builder.create({ data: fs.readFileSync(file) });
  fs.writeFileSync(bundleFile, JSON.stringify(bundleToJSON(bundle)));
}

(async () => (verb === 'sign' ? sign(...words) : verify(...words)))().catch((error) => {
  console.error(`error: ${error.code ?? error.name}: ${error.message} ${error.cause?.message ?? ''}`);
  process.exit(1);
});
