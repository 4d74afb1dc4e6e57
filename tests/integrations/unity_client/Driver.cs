// Runs the engine-free part of integrations/unity for the tests: a command and its arguments in, lines of JSON out.
using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using Aognet.Client;

internal static class Driver
{
    private static int Main(string[] words)
    {
        var rest = new List<string>(words).GetRange(1, words.Length - 1).ToArray();
        if (words[0] == "json") foreach (var file in rest) Try(() => Json.Read(File.ReadAllText(file)));
        else if (words[0] == "form") Form(rest[0], rest[1]);
        else if (words[0] == "header") foreach (var file in rest) Try(() => Header(file));
        else if (words[0] == "radiance") foreach (var file in rest) Try(() => Light(file));
        else if (words[0] == "cube") Cube(int.Parse(rest[0]), rest[1]);
        else if (words[0] == "ours") Ours(rest[0]);
        else if (words[0] == "sizes") foreach (var side in rest) Say(SkyRules.TextureSize(int.Parse(side), 1));
        else if (words[0] == "turns") foreach (var yaw in rest) Say(Turns(float.Parse(yaw)));
        else if (words[0] == "names") foreach (var title in rest) Say(FileNames.Safe(title));
        else if (words[0] == "free") Say(FileNames.Free(rest[0], rest[1], rest[2]));
        else if (words[0] == "events") Events(rest[0], int.Parse(rest[1]));
        else if (words[0] == "ledger") Ledger(rest[0]);
        else if (words[0] == "submit") Submit(rest);
        else if (words[0] == "run") Run(rest).GetAwaiter().GetResult();
        else if (words[0] == "tells") for (var index = 0; index < rest.Length; index += 2) Tells(rest[index], rest[index + 1]);
        else if (words[0] == "ask") Try(() => Ask(rest).GetAwaiter().GetResult());
        else return 2;
        Say("finished");
        return 0;
    }

    private static void Say(object value)
    {
        lock (Console.Out) Console.Out.WriteLine(Json.Write(value));
        Console.Out.Flush();
    }

    private static Dictionary<string, object> Map(params object[] pairs)
    {
        var map = new Dictionary<string, object>();
        for (var index = 0; index < pairs.Length; index += 2) map[(string)pairs[index]] = pairs[index + 1];
        return map;
    }

    /// <summary>Says the value, or why there is none. Anything else than the documented errors ends the program.</summary>
    private static void Try(Func<object> work)
    {
        try
        {
            Say(Map("value", work()));
        }
        catch (FormatException error)
        {
            Say(Map("error", error.Message));
        }
        catch (ArgumentException error)
        {
            Say(Map("error", error.Message));
        }
        catch (StudioException error)
        {
            Say(Map("error", error.Message, "status", error.Status, "key", error.Key, "transient", error.IsTransient));
        }
    }

    private static void Form(string schema, string changes)
    {
        var settings = SettingsForm.Of(Json.ReadMap(File.ReadAllText(schema)));
        foreach (var one in settings)
            Say(Map("path", one.Path, "kind", one.Kind.ToString(), "text", one.Text, "nullable", one.IsNullable, "choices", new List<object>(one.Choices)));
        foreach (var pair in Json.ReadMap(File.ReadAllText(changes)))
            settings.Find(one => one.Path == pair.Key).Text = (string)pair.Value;
        Try(() => SettingsForm.Changes(settings));
    }

    private static object Header(string file)
    {
        using (var stream = File.OpenRead(file))
        {
            var header = ImageHeader.Read(stream);
            return Map("format", header.Format, "width", header.Width, "height", header.Height, "light", header.IsLight);
        }
    }

    private static object Light(string file)
    {
        var light = new Radiance(File.ReadAllBytes(file));
        var bytes = new byte[light.Pixels.Length * 2];
        Buffer.BlockCopy(light.Pixels, 0, bytes, 0, bytes.Length);
        File.WriteAllBytes(file + ".half", bytes);
        return Map("width", light.Width, "height", light.Height);
    }

    private static void Cube(int size, string file)
    {
        using (var writer = new BinaryWriter(File.Create(file)))
            for (var face = 0; face < 6; face++)
                for (var index = 0; index < size * size; index++)
                {
                    CubeFaces.Place(face, index % size, index / size, size, out var u, out var v);
                    writer.Write(u);
                    writer.Write(v);
                }
    }

    private static void Ours(string file)
    {
        foreach (var one in (List<object>)Json.Read(File.ReadAllText(file)))
        {
            var map = (Dictionary<string, object>)one;
            var labels = map.List("labels").ConvertAll(label => (string)label).ToArray();
            Say(SkyRules.IsOurs(map.Text("path"), map.Text("folder"), labels, map.Text("label")));
        }
    }

    private static object Turns(float yaw)
    {
        return new List<object> { SkyRules.PanoramicRotation(yaw), SkyRules.CubemapRotation(yaw) };
    }

    private static void Events(string file, int chunk)
    {
        Try(() =>
        {
            var reader = new EventReader();
            var bytes = File.ReadAllBytes(file);
            var found = new List<object>();
            for (var at = 0; at < bytes.Length; at += chunk)
            {
                var part = new byte[Math.Min(chunk, bytes.Length - at)];
                Array.Copy(bytes, at, part, 0, part.Length);
                foreach (var one in reader.Take(part, part.Length)) found.Add(Map("id", one.Number, "event", one.Kind, "data", one.Data));
            }
            return found;
        });
    }

    private static Dictionary<string, object> Told(LedgerEntry entry)
    {
        return Map(
            "key", entry.Key, "job", entry.JobId, "state", entry.State, "error", entry.Error, "file", entry.File, "version", entry.VersionId,
            "done", entry.DoneCount, "total", entry.TotalCount, "uploads", entry.Uploads.Count);
    }

    private static void Ledger(string root)
    {
        var ledger = new Ledger(Path.Combine(root, "jobs.json"), root);
        Say(Map("damaged", ledger.Damaged, "jobs", ledger.Entries.ConvertAll(one => (object)Told(one))));
    }

    /// <summary>Words: root, server, and what is asked for as JSON. The job is written down and not yet sent.</summary>
    private static void Submit(string[] words)
    {
        var map = Json.ReadMap(words[2]);
        var asked = new AskedJob { Prompt = map.Text("prompt"), Seed = map.Whole("seed"), Title = map.Text("title"), Settings = map.Map("settings") };
        foreach (var photo in map.Maps("photos"))
            asked.Photos.Add(new AskedPhoto { Path = photo.Text("path"), Yaw = photo.Real("yaw") ?? 0, Fov = photo.Real("fov") });
        var entry = LedgerEntry.Of(asked, words[1], "Assets/Panoramas");
        new Ledger(Path.Combine(words[0], "jobs.json"), words[0]).Add(entry);
        Say(entry.Key);
    }

    /// <summary>Words: root, token, and after how many views all jobs are cancelled ("never").</summary>
    private static async Task Run(string[] words)
    {
        var ledger = new Ledger(Path.Combine(words[0], "jobs.json"), words[0]);
        var tasks = new List<Task>();
        foreach (var entry in ledger.Entries)
        {
            if (entry.State == LedgerEntry.Failed) ledger.Change(entry.Retry);
            if (!entry.IsOver) tasks.Add(RunOne(ledger, entry, words[1], words[2]));
        }
        await Task.WhenAll(tasks);
        foreach (var entry in ledger.Entries) Say(Map("end", Told(entry)));
    }

    private static async Task RunOne(Ledger ledger, LedgerEntry entry, string token, string cancelAfter)
    {
        using (var client = new StudioClient(entry.Server, token))
        {
            var listener = new Listener();
            var runner = new JobRunner(ledger, entry, client, listener);
            if (cancelAfter != "never") listener.Cancel = views => { if (views == int.Parse(cancelAfter)) runner.Cancel(); };
            if (cancelAfter == "0") runner.Cancel();
            await runner.RunAsync(CancellationToken.None);
        }
    }

    private sealed class Listener : IJobListener
    {
        public Action<int> Cancel = views => { };
        private int views;

        public void Changed(LedgerEntry entry)
        {
            Say(Map("changed", Told(entry)));
        }

        public void Viewed(LedgerEntry entry, byte[] preview)
        {
            Say(Map("view", Convert.ToBase64String(preview), "key", entry.Key));
            Cancel(++views);
        }

        public void Waits(LedgerEntry entry, string why, double seconds)
        {
            Say(Map("waits", why, "seconds", seconds));
        }
    }

    private static void Tells(string address, string token)
    {
        Try(() =>
        {
            using (var client = new StudioClient(address, token)) return client.TellsToken;
        });
    }

    /// <summary>Words: server, token, what, and its arguments.</summary>
    private static async Task<object> Ask(string[] words)
    {
        var none = CancellationToken.None;
        using (var client = new StudioClient(words[0], words[1]))
        {
            if (words[2] == "models") return (await client.ModelsAsync(none)).ConvertAll(one => (object)Map("name", one.Name, "title", one.Title, "method", one.Method, "height", one.Height));
            if (words[2] == "plan") return (await client.PlanAsync(words[3], none)).Views;
            if (words[2] == "job") return (await client.JobAsync(words[3], none)).State;
            if (words[2] == "submit") return (await client.SubmitAsync(words[3], words[4], none)).Id;
            if (words[2] == "upload") return (await client.UploadAsync(words[3], none)).Width;
            var page = await client.PanoramasAsync(words[3], "", 1, none);
            if (words[2] == "import") return await Fetched.ImportAsync(client, page.Panoramas[0].Head, true, words[4], page.Panoramas[0].Title, null, none);
            var found = new List<object>();
            while (true)
            {
                found.AddRange(page.Panoramas.ConvertAll(one => (object)one.Title));
                if (page.Cursor == "") return found;
                page = await client.PanoramasAsync(words[3], page.Cursor, 1, none);
            }
        }
    }
}
