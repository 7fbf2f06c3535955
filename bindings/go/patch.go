package skytrail

import (
	"errors"
	"reflect"
	"strings"
)

// mergePatch is the JSON merge patch that sets every non-empty field of the struct. Inside a field
// that is itself a struct, empty ones are null, so that nothing of the former value stays.
func mergePatch(changes any) (map[string]any, error) {
	value := reflect.ValueOf(changes)
	if value.IsNil() {
		return nil, errors.New("changes are nil")
	}
	patch := map[string]any{}
	for name, field := range members(value.Elem()) {
		if !isEmpty(field) {
			patch[name] = replacing(field)
		}
	}
	return patch, nil
}

func replacing(field reflect.Value) any {
	if isEmpty(field) {
		return nil
	}
	if field.Kind() != reflect.Pointer || field.Elem().Kind() != reflect.Struct {
		return field.Interface()
	}
	whole := map[string]any{}
	for name, inner := range members(field.Elem()) {
		whole[name] = replacing(inner)
	}
	return whole
}

func isEmpty(field reflect.Value) bool {
	if field.Kind() == reflect.Slice {
		return field.Len() == 0
	}
	return field.IsZero()
}

func members(value reflect.Value) map[string]reflect.Value {
	found := map[string]reflect.Value{}
	for index := 0; index < value.NumField(); index++ {
		name, _, _ := strings.Cut(value.Type().Field(index).Tag.Get("json"), ",")
		found[name] = value.Field(index)
	}
	return found
}
