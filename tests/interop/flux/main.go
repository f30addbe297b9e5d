// Command verify does with an OCIRepository and its Secrets what Flux's source-controller does before a HelmRelease
// gets the chart: checks the object against the resource's definition, finds the chart and verifies its signature. It
// is built inside a copy of source-controller (see peers.sh), together with controller.go, and so runs Flux's own code;
// only the cluster is imitated, by the client that Flux's own tests use.
//
//	verify ocirepositories.yaml OBJECTS.yaml
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/fluxcd/source-controller/internal/controller"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verify DEFINITION OBJECTS")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "flux:", err)
		os.Exit(1)
	}
}

func run(definition, objects string) error {
	text, err := os.ReadFile(objects)
	if err != nil {
		return err
	}
	source, secrets, err := read(text, definition)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(secrets...).Build()
	ref, err := controller.Verified(context.Background(), cluster, source)
	if err != nil {
		return err
	}
	fmt.Println("verified:", ref)
	return nil
}

// read takes the objects as the API server would: unknown fields are refused, defaults filled in.
func read(text []byte, definition string) (*sourcev1.OCIRepository, []client.Object, error) {
	var source *sourcev1.OCIRepository
	var secrets []client.Object
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, nil, err
		}
		switch kind.Kind {
		case "OCIRepository":
			if err := check(document, definition); err != nil {
				return nil, nil, err
			}
			source = &sourcev1.OCIRepository{}
			if err := yaml.UnmarshalStrict(document, source); err != nil {
				return nil, nil, err
			}
			if source.Spec.Timeout == nil {
				source.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
			}
		case "Secret":
			secret := &corev1.Secret{}
			if err := yaml.UnmarshalStrict(document, secret); err != nil {
				return nil, nil, err
			}
			secret.Data = map[string][]byte{}
			for name, value := range secret.StringData {
				secret.Data[name] = []byte(value)
			}
			secrets = append(secrets, secret)
		default:
			return nil, nil, fmt.Errorf("unexpected kind %q", kind.Kind)
		}
	}
	if source == nil {
		return nil, nil, fmt.Errorf("no OCIRepository")
	}
	return source, secrets, nil
}

// check compares the object with the schema of the resource's definition.
func check(document []byte, definition string) error {
	text, err := os.ReadFile(definition)
	if err != nil {
		return err
	}
	var published apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &published); err != nil {
		return err
	}
	var object map[string]any
	if err := yaml.Unmarshal(document, &object); err != nil {
		return err
	}
	for _, version := range published.Spec.Versions {
		if published.Spec.Group+"/"+version.Name != object["apiVersion"] {
			continue
		}
		var schema apiextensions.JSONSchemaProps
		err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			version.Schema.OpenAPIV3Schema, &schema, nil)
		if err != nil {
			return err
		}
		validator, _, err := validation.NewSchemaValidator(&schema)
		if err != nil {
			return err
		}
		return validation.ValidateCustomResource(field.NewPath(""), object, validator).ToAggregate()
	}
	return fmt.Errorf("%v is not served", object["apiVersion"])
}
