package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Object is a JSON object whose members are none of the hub's business.
type Object = map[string]json.RawMessage

// Extra holds the members of a record that this version has no field for: they
// survive being read and written. A member of a known name is ignored.
//
// Every record has such a field, and the two methods of encoding/json in one line
// each over marshalRecord and unmarshalRecord.
type Extra Object

// Decode reads a record from the JSON object that body must be. What does not fit
// is a [FieldError]. Members are known by their exact names; null is as if a
// member were not there, and of one given twice the last counts.
func Decode[T any](body []byte) (T, error) {
	var record T
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	if !utf8.Valid(body) {
		return record, &FieldError{Problem: "the record is not valid UTF-8"}
	}
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return record, &FieldError{Problem: "the record must be a JSON object"}
	}
	if err := json.Unmarshal(body, &record); err != nil {
		if _, ok := errors.AsType[*FieldError](err); ok {
			return record, err
		}
		return record, &FieldError{Problem: "the record is not JSON: " + err.Error()}
	}
	return record, nil
}

// recordField is a field of a record by its name in JSON.
type recordField struct {
	index    int
	name     string
	optional bool
}

// recordFields answers a record's fields in their order, and which one is Extra.
// A tag has a name and perhaps the option omitzero: then the member is left out
// when it is zero or empty. Others are always written, an empty slice as [], an
// empty map as {}, and raw JSON that is not there as null.
func recordFields(t reflect.Type) (fields []recordField, extra int) {
	if known, ok := recordTypes.Load(t); ok {
		fields := known.([]recordField) //nolint:forcetypeassert // the map's only type
		return fields[1:], fields[0].index
	}
	extra = -1
	fields = append(fields, recordField{})
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == extraType {
			extra = i
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, recordField{i, name, option == "omitzero"})
	}
	fields[0].index = extra
	recordTypes.Store(t, fields)
	return fields[1:], extra
}

var (
	recordTypes sync.Map // reflect.Type to []recordField, the first of which is Extra
	extraType   = reflect.TypeFor[Extra]()
	rawType     = reflect.TypeFor[json.RawMessage]()
	timeType    = reflect.TypeFor[time.Time]()
)

// marshalRecord writes a record: its fields in their order, then what is in Extra
// in the order of the names.
func marshalRecord[T any](record T) ([]byte, error) {
	v := reflect.ValueOf(record)
	fields, extra := recordFields(v.Type())
	b := []byte{'{'}
	for _, f := range fields {
		value := v.Field(f.index)
		if f.optional && isEmpty(value) {
			continue
		}
		encoded, err := marshalField(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.name, err)
		}
		b = appendMember(b, f.name, encoded)
	}
	others := v.Field(extra).Interface().(Extra) //nolint:forcetypeassert // by its type
	for _, f := range fields {
		if _, ok := others[f.name]; ok {
			others = without(others, fields)
			break
		}
	}
	if len(others) > 0 {
		encoded, err := json.Marshal(Object(others))
		if err != nil {
			return nil, fmt.Errorf("encode unknown members: %w", err)
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, encoded[1:len(encoded)-1]...)
	}
	return append(b, '}'), nil
}

// without is others less the names of fields.
func without(others Extra, fields []recordField) Extra {
	kept := make(Extra, len(others))
	for name, value := range others {
		if !slices.ContainsFunc(fields, func(f recordField) bool { return f.name == name }) {
			kept[name] = value
		}
	}
	return kept
}

func isEmpty(v reflect.Value) bool {
	if k := v.Kind(); k == reflect.Slice || k == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

func marshalField(v reflect.Value) ([]byte, error) {
	switch {
	case v.Type() == rawType:
	case v.Kind() == reflect.Slice && v.IsNil():
		return []byte("[]"), nil
	case v.Kind() == reflect.Map && v.IsNil():
		return []byte("{}"), nil
	}
	return json.Marshal(v.Interface()) //nolint:wrapcheck // by the caller
}

func appendMember(b []byte, name string, value []byte) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return append(b, value...)
}

// unmarshalRecord reads a record; errors are of type [FieldError].
func unmarshalRecord[T any](b []byte, record *T) error {
	if string(b) == "null" { // as is the convention of encoding/json
		return nil
	}
	var members Extra
	if err := json.Unmarshal(b, &members); err != nil {
		return &FieldError{Problem: "must be a JSON object"}
	}
	v := reflect.ValueOf(record).Elem()
	fields, extra := recordFields(v.Type())
	for _, f := range fields {
		raw, ok := members[f.name]
		if !ok {
			continue
		}
		delete(members, f.name)
		if string(raw) == "null" {
			continue
		}
		if err := json.Unmarshal(raw, v.Field(f.index).Addr().Interface()); err != nil {
			return fieldError(f.name, v.Field(f.index).Type(), err)
		}
	}
	if len(members) > 0 {
		v.Field(extra).Set(reflect.ValueOf(members))
	}
	return nil
}

// fieldError says in the words of JSON why a value does not fit.
func fieldError(name string, t reflect.Type, err error) *FieldError {
	if inner, ok := errors.AsType[*FieldError](err); ok {
		if inner.Field != "" {
			name += "." + inner.Field
		}
		return &FieldError{name, inner.Problem}
	}
	if t == timeType {
		return &FieldError{name, "must be an RFC 3339 time, such as 2026-02-10T04:15:00.000Z"}
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return &FieldError{name, fmt.Sprintf("must be %s, not %s", kindName(wrong.Type), wrong.Value)}
	}
	return &FieldError{name, "is malformed"}
}

func kindName(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return kindName(t.Elem())
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Float64:
		return "a number"
	case k >= reflect.Int && k <= reflect.Uint64:
		return "an integer"
	case k == reflect.Slice:
		return "an array"
	}
	return "an object"
}
