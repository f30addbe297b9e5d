package controller

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	soci "github.com/fluxcd/source-controller/internal/oci"
	scosign "github.com/fluxcd/source-controller/internal/oci/cosign"
)

// Verified does what the controller does to decide whether a source is verified, from the reference to the verdict, and
// nothing of what comes after it. It lies in the controller's own package, because the parts that it calls are private.
func Verified(ctx context.Context, objects client.Client, source *sourcev1.OCIRepository) (name.Reference, error) {
	r := &OCIRepositoryReconciler{
		Client:                objects,
		CosignVerifierFactory: scosign.NewCosignVerifierFactory(),
	}
	keychain, err := r.keychain(ctx, source)
	if err != nil {
		return nil, err
	}
	transport, err := r.transport(ctx, source, nil)
	if err != nil {
		return nil, err
	}
	options := makeRemoteOptions(ctx, transport, keychain, nil)
	ref, err := r.getArtifactRef(source, options)
	if err != nil {
		return nil, err
	}
	if _, err := r.getRevision(ref, options); err != nil {
		return ref, err
	}
	result, err := r.verifySignature(ctx, source, ref, keychain, nil, transport, options...)
	if err == nil && result != soci.VerificationResultSuccess {
		return ref, fmt.Errorf("the source is %s", result)
	}
	return ref, err
}
