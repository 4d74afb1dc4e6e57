using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Aognet.Client
{
    /// <summary>
    /// Reads and writes JSON (RFC 8259). Values are Dictionary&lt;string, object&gt;, List&lt;object&gt;, string, long,
    /// double, bool and null.
    /// </summary>
    public static class Json
    {
        /// <summary>So deep may arrays and objects lie in each other.</summary>
        public const int MaxDepth = 64;

        /// <summary>Returns the value of a text. Throws FormatException for anything that is not JSON.</summary>
        public static object Read(string text)
        {
            return new JsonReader(text).Whole();
        }

        /// <summary>Returns the object of a text. Throws FormatException for any other value.</summary>
        public static Dictionary<string, object> ReadMap(string text)
        {
            var map = Read(text) as Dictionary<string, object>;
            if (map == null) throw new FormatException("expected an object");
            return map;
        }

        /// <summary>Returns a value as text on one line. Throws FormatException for numbers that JSON has not.</summary>
        public static string Write(object value)
        {
            var text = new StringBuilder();
            Write(value, text, 0);
            return text.ToString();
        }

        private static void Write(object value, StringBuilder text, int depth)
        {
            if (depth > MaxDepth) throw new FormatException("nested too deeply");
            if (value == null) text.Append("null");
            else if (value is string) Quote((string)value, text);
            else if (value is bool) text.Append((bool)value ? "true" : "false");
            else if (value is int || value is long) text.Append(Convert.ToInt64(value).ToString(CultureInfo.InvariantCulture));
            else if (value is float || value is double) text.Append(Number(Convert.ToDouble(value)));
            else if (value is IDictionary<string, object>) WriteMap((IDictionary<string, object>)value, text, depth);
            else if (value is IEnumerable<object>) WriteList((IEnumerable<object>)value, text, depth);
            else throw new FormatException("no JSON for " + value.GetType().Name);
        }

        private static void WriteMap(IDictionary<string, object> map, StringBuilder text, int depth)
        {
            var between = "{";
            foreach (var pair in map)
            {
                text.Append(between);
                Quote(pair.Key, text);
                text.Append(':');
                Write(pair.Value, text, depth + 1);
                between = ",";
            }
            text.Append(map.Count == 0 ? "{}" : "}");
        }

        private static void WriteList(IEnumerable<object> list, StringBuilder text, int depth)
        {
            var between = "[";
            foreach (var one in list)
            {
                text.Append(between);
                Write(one, text, depth + 1);
                between = ",";
            }
            text.Append(between == "[" ? "[]" : "]");
        }

        private static string Number(double value)
        {
            if (double.IsNaN(value) || double.IsInfinity(value)) throw new FormatException("not a finite number");
            var text = value.ToString("R", CultureInfo.InvariantCulture);
            return text.IndexOfAny(new[] { '.', 'E', 'e' }) < 0 ? text + ".0" : text;
        }

        private static void Quote(string value, StringBuilder text)
        {
            text.Append('"');
            foreach (var letter in value)
            {
                if (letter == '"' || letter == '\\') text.Append('\\').Append(letter);
                else if (letter < ' ' || char.IsSurrogate(letter))
                    text.Append("\\u").Append(((int)letter).ToString("x4", CultureInfo.InvariantCulture));
                else text.Append(letter);
            }
            text.Append('"');
        }
    }

    /// <summary>One text that is being read.</summary>
    internal sealed class JsonReader
    {
        private readonly string text;
        private int at;

        public JsonReader(string text)
        {
            this.text = text ?? "";
        }

        public object Whole()
        {
            var value = Value(0);
            Skip();
            if (at < text.Length) throw Wrong("expected the end");
            return value;
        }

        private object Value(int depth)
        {
            if (depth > Json.MaxDepth) throw Wrong("nested too deeply");
            Skip();
            var letter = Peek();
            if (letter == '{') return Map(depth);
            if (letter == '[') return List(depth);
            if (letter == '"') return Text();
            if (letter == 't') return Word("true", true);
            if (letter == 'f') return Word("false", false);
            if (letter == 'n') return Word("null", null);
            return Number();
        }

        private Dictionary<string, object> Map(int depth)
        {
            var map = new Dictionary<string, object>();
            at++;
            Skip();
            if (Take('}')) return map;
            do
            {
                Skip();
                if (Peek() != '"') throw Wrong("expected a name");
                var name = Text();
                if (map.ContainsKey(name)) throw Wrong("a name stands twice");
                Skip();
                if (!Take(':')) throw Wrong("expected ':'");
                map.Add(name, Value(depth + 1));
                Skip();
            }
            while (Take(','));
            if (!Take('}')) throw Wrong("expected ',' or '}'");
            return map;
        }

        private List<object> List(int depth)
        {
            var list = new List<object>();
            at++;
            Skip();
            if (Take(']')) return list;
            do
            {
                list.Add(Value(depth + 1));
                Skip();
            }
            while (Take(','));
            if (!Take(']')) throw Wrong("expected ',' or ']'");
            return list;
        }

        private string Text()
        {
            var found = new StringBuilder();
            at++;
            while (true)
            {
                var letter = Peek();
                if (letter < ' ') throw Wrong("a text does not end");
                at++;
                if (letter == '"') return found.ToString();
                found.Append(letter == '\\' ? Escaped() : letter);
            }
        }

        private char Escaped()
        {
            var letter = Peek();
            at++;
            var place = "\"\\/bfnrt".IndexOf(letter);
            if (place >= 0) return "\"\\/\b\f\n\r\t"[place];
            if (letter != 'u') throw Wrong("unknown escape");
            var code = 0;
            for (var end = at + 4; at < end; at++)
            {
                var digit = "0123456789abcdef".IndexOf(char.ToLowerInvariant(Peek()));
                if (digit < 0) throw Wrong("expected four hexadecimal digits");
                code = code * 16 + digit;
            }
            return (char)code;
        }

        private object Number()
        {
            var begin = at;
            Take('-');
            if (!Take('0')) Digits();
            var isWhole = true;
            if (Take('.'))
            {
                isWhole = false;
                Digits();
            }
            if (Take('e') || Take('E'))
            {
                isWhole = false;
                if (!Take('+')) Take('-');
                Digits();
            }
            var digits = text.Substring(begin, at - begin);
            if (isWhole && long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
                return whole;
            // .NET Framework refuses numbers that are too large, .NET calls them infinite.
            if (!double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out var real) || double.IsInfinity(real))
                throw Wrong("a number is too large");
            return real;
        }

        private void Digits()
        {
            if (!IsDigit(Peek())) throw Wrong("expected a value");
            while (IsDigit(Peek())) at++;
        }

        private static bool IsDigit(char letter)
        {
            return letter >= '0' && letter <= '9';
        }

        private object Word(string word, object value)
        {
            if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw Wrong("expected a value");
            at += word.Length;
            return value;
        }

        private void Skip()
        {
            while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0) at++;
        }

        private char Peek()
        {
            return at < text.Length ? text[at] : '\0';
        }

        private bool Take(char letter)
        {
            if (Peek() != letter) return false;
            at++;
            return true;
        }

        private FormatException Wrong(string what)
        {
            return new FormatException(what + " at character " + at);
        }
    }
}
