package waf

import "testing"

func TestFileNames(t *testing.T) {
	for name, want := range map[string]bool{
		"Bob's photo.jpg": true, "it's.txt": true, "Café – l'été.png": true, "L'heure d'été (1).pdf": true, "2026–l'été–": true, "O'Connor & Sons.docx": true,
		"Dell'Orto.xml": true, "aujourd'hui.md": true, "we're, they'll.txt": true, "watch?v=abc_1.mp4": true, "size=10.csv": true,

		"x' or 'a' like 'a.jpg": false, "a'or 1 like 1.jpg": false, "'quoted.php'": false, "x'.php": false, "l'or n'1.txt": false,
		"b'01.txt": false, "l'or 1=1.txt": false, "l'or 1 -- .txt": false, "l'or 1#.txt": false, "a;b.txt": false, "a.jpg;name=b.php": false,
		`a"b.txt`: false, `a\'s.txt`: false, "l'a/../b.php": false, "l'$(id).txt": false, "l'é\n.txt": false, "l'%00.txt": false,
	} {
		if got := fileName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
