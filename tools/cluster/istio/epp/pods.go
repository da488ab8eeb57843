package epp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Time between two looks at the pool.
const look = 300 * time.Millisecond

var (
	poolKind = schema.GroupVersionResource{Group: "inference.networking.k8s.io", Version: "v1", Resource: "inferencepools"}
	podKind  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// pods are the ready ones of a pool, as they were seen last, in turn.
type pods struct {
	seen atomic.Pointer[[]string]
	turn atomic.Uint64
}

// watch connects to the API server of the pod's own cluster, and looks at the pool from then on.
func watch(ctx context.Context, namespace, pool string) (*pods, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pods := &pods{}
	go func() {
		for {
			// What cannot be read now stays as it was.
			if found, err := ready(ctx, client, namespace, pool); err == nil {
				pods.seen.Store(&found)
			}
			time.Sleep(look)
		}
	}()
	return pods, nil
}

// next returns the pod whose turn it is, empty if there is none.
func (p *pods) next() string {
	seen := p.seen.Load()
	if seen == nil || len(*seen) == 0 {
		return ""
	}
	return (*seen)[p.turn.Add(1)%uint64(len(*seen))]
}

// ready lists the addresses of the pool's pods that are ready.
func ready(ctx context.Context, client dynamic.Interface, namespace, name string) ([]string, error) {
	pool, err := client.Resource(poolKind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	selector, _, err := unstructured.NestedStringMap(pool.Object, "spec", "selector", "matchLabels")
	if err != nil {
		return nil, err
	}
	ports, _, err := unstructured.NestedSlice(pool.Object, "spec", "targetPorts")
	if err != nil || len(ports) == 0 {
		return nil, errors.Join(err, fmt.Errorf("InferencePool %s has no target port", name))
	}
	first, _ := ports[0].(map[string]any)
	port, _, err := unstructured.NestedInt64(first, "number")
	if err != nil {
		return nil, err
	}
	listed, err := client.Resource(podKind).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()})
	if err != nil {
		return nil, err
	}
	var found []string
	for _, pod := range listed.Items {
		if address, _, _ := unstructured.NestedString(pod.Object, "status", "podIP"); address != "" && isReady(pod) {
			found = append(found, net.JoinHostPort(address, strconv.FormatInt(port, 10)))
		}
	}
	return found, nil
}

func isReady(pod unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, it := range conditions {
		condition, _ := it.(map[string]any)
		if condition["type"] == "Ready" {
			return condition["status"] == "True"
		}
	}
	return false
}
