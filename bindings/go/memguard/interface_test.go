package memguard_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The lists in testdata are memguard 0.23's exported interface, as its documentation has it: names, signatures, and
// what is promoted of what is embedded.
func TestInterface(t *testing.T) {
	for list, folders := range map[string][]string{
		"interface.txt": {".", "../replace/memguard"},
		"core.txt":      {"core", "../replace/memguard/core"},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", list))
		if err != nil {
			t.Fatal(err)
		}
		wanted := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(wanted) < 30 {
			t.Fatalf("%s lists %d", list, len(wanted))
		}
		for _, folder := range folders {
			exported := exported(t, folder)
			for _, line := range wanted {
				if !exported[line] {
					t.Errorf("%s does not export: %s", folder, line)
				}
			}
			// What is there beyond memguard's is said by its documentation, and is little.
			if beyond := len(exported) - len(wanted); beyond > 30 {
				t.Errorf("%s exports %d beyond the list", folder, beyond)
			}
		}
	}
}

func exported(t *testing.T, folder string) map[string]bool {
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	config := types.Config{Importer: importer.ForCompiler(set, "source", nil), IgnoreFuncBodies: true}
	pkg, err := config.Check(folder, set, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(map[string]bool)
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		switch object := object.(type) {
		case *types.Func:
			lines["func "+name+signature(object.Type())] = true
		case *types.Const:
			lines["const "+name+" "+text(object.Type())] = true
		case *types.Var:
			lines["var "+name+" "+text(object.Type())] = true
		case *types.TypeName:
			members(name, types.Unalias(object.Type()), lines)
		}
	}
	return lines
}

func members(name string, of types.Type, lines map[string]bool) {
	methods := types.NewMethodSet(types.NewPointer(of))
	for i := range methods.Len() {
		if method := methods.At(i).Obj(); method.Exported() {
			lines[fmt.Sprintf("method %s.%s%s", name, method.Name(), signature(methods.At(i).Type()))] = true
		}
	}
	if fields, ok := of.Underlying().(*types.Struct); ok {
		for i := range fields.NumFields() {
			if field := fields.Field(i); field.Exported() {
				lines[fmt.Sprintf("field %s.%s %s", name, field.Name(), text(field.Type()))] = true
			}
		}
	}
}

// signature is a function's without the names of its parameters.
func signature(of types.Type) string {
	s := of.(*types.Signature)
	bare := func(tuple *types.Tuple) *types.Tuple {
		var all []*types.Var
		for i := range tuple.Len() {
			all = append(all, types.NewParam(token.NoPos, nil, "", tuple.At(i).Type()))
		}
		return types.NewTuple(all...)
	}
	return strings.TrimPrefix(
		text(types.NewSignatureType(nil, nil, nil, bare(s.Params()), bare(s.Results()), s.Variadic())), "func")
}

func text(of types.Type) string {
	text := types.TypeString(of, func(p *types.Package) string {
		// A package that is checked by its folder has a name all the same.
		return p.Name()
	})
	return strings.ReplaceAll(text, " any", " interface{}")
}
