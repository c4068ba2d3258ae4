package main

import (
	"os"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// Each manifest in docs/kubernetes.md is one that Kubernetes would read: every field exists, and is of its
// type.
func TestManifestsAreReadByKubernetes(t *testing.T) {
	page, err := os.ReadFile("../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "```yaml\n")
	block, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("docs/kubernetes.md has no manifests")
	}
	kinds := map[string]func() any{
		"v1/ConfigMap": func() any { return new(core.ConfigMap) }, "v1/Service": func() any { return new(core.Service) },
		"apps/v1/Deployment":            func() any { return new(apps.Deployment) },
		"policy/v1/PodDisruptionBudget": func() any { return new(policy.PodDisruptionBudget) },
		"networking.k8s.io/v1/Ingress":  func() any { return new(networking.Ingress) },
	}
	for text := range strings.SplitSeq(block, "---\n") {
		var about struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &about); err != nil {
			t.Fatal(err)
		}
		kind := about.APIVersion + "/" + about.Kind
		of := kinds[kind]
		if of == nil {
			t.Errorf("%s is no kind that this test knows, or is there twice", kind)
			continue
		}
		delete(kinds, kind)
		if err := yaml.UnmarshalStrict([]byte(text), of()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for kind := range kinds {
		t.Errorf("docs/kubernetes.md has no %s", kind)
	}
}
